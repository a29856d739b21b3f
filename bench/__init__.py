"""Benchmarks: `python -m bench [names] [--quick]`; each module measures one room's work."""
