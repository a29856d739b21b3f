"""Lineage: what something was made from, and what was made from it, read off the ledger.

Takes a ref and the ledger; gives a graph of refs and the events between them (`trace`,
`downstream`), or, for one prediction, everything a person asks for in one record (`describe`).
Nothing is stored here: the graph follows from the events' inputs and outputs. Refuses a ref that
no event names, with the nearest that one does.

A ref may be made more than once (a feature view's version is, with every publication). Upstream
of an event counts what was made last *before* it: a training set reads the features that there
were, not those of today.
"""
