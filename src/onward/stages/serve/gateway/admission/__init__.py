"""What is let in: who calls and may (`callers.py`), how often (`rates.py`), and how much at once.

`admission.py` is asked before a body is read for its meaning. A refusal costs next to nothing.
"""
