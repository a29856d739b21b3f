"""Validate: write, audit, publish. Readers never see a row that has not passed.

Takes a `Batch` on its audit branch, the declared checks, and the `Baseline` that they hold it
against; gives a `ValidationReport`. Rows that break a rule go to ``quarantine.<namespace>_<name>``
with the names and versions of the rules they broke; the others are published, and the source's
cursor with them. Rows in = rows published + rows quarantined. Where a rule that holds is broken
nothing is published and nothing quarantined; where one that warns is, the report says so.

`step.py` goes through it: `opened.py` has the batch and what is beside it, with the columns that
rules in Python and on keys need; `rules/` makes rules of checks, and has a file for each kind;
`split.py` evaluates them, and `results.py` says what came of each. `profile.py` describes the
batch.

In `quarantine/` are the rows that wait. Its `replay.py` judges them again and gives a `Replay`:
those that pass are published once and marked, those that fail stay with their new reasons.

For a person there are `describe.py` (a table), `compare.py` (two of them) and `suggest.py` (checks
that a table's rows call for); `translate/` reads the checks of other tools.

Refuses a check on a column that does not exist, a row rule that gives no boolean per row, a batch
rule that gives no single boolean, and to publish where main has moved on since the branch was cut.
"""
