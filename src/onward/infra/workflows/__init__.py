"""Workflows: a run's steps, kept so that a run killed at any line goes on where it was.

Takes a body, a function of `Steps` and arguments, and runs it under an id. A step's result is
recorded before the next one begins; a run that is started again under the same id is given the
recorded results and carries on with the step that has none. Refuses two processes at once.
"""
