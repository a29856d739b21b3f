"""Testing a project: declared functions on inline rows, and the project's tests in a process."""
