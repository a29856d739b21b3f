"""Rules written for other tools, as checks of ours: Great Expectations' suites, Pandera's schemas.

Neither tool is needed to read a suite, and Pandera only for what its schema says in Python.
"""
