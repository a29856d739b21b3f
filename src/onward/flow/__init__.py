"""The order of the stages, gates and resume; the release loop; the watch loop."""
