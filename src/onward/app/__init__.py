"""The composition root: settings, the user's project, adapters.

`settings/` reads what was chosen, `load.py` the user's file; `site.py` chooses the adapters, and
`project.py` is all three together. `gateway/` runs the gateway, and `up.py` everything. What
can be asked of a project has a file for each noun, and is shown by the one of that name in
`surfaces/cli`.
"""
