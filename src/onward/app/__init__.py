"""The composition root: settings, the user's project, adapters."""
