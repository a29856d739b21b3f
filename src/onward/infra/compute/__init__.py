"""Compute: heavy functions run in a process of their own.

`local.LocalCompute` serves the port `onward.core.ports.Compute` on this machine: a fresh Python
process per call, with a fixed hash seed and fixed random seeds, so that the same call gives the
same bytes. Errors come back as `OnwardError`s; a process never outlives the one that asked.

`ray.RayCompute` does the same on a Ray cluster: a task per call, and in it such a process.
"""
