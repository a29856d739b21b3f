"""Validate: write, audit, publish. Readers never see a row that has not passed.

Takes a `Batch` on its audit branch and the declared checks; gives a `ValidationReport`. Rows that
break a row rule go to ``quarantine.<namespace>_<name>`` with the names and versions of the rules
they broke; the others are published, and the source's cursor with them. Rows in = rows published
+ rows quarantined. Where a batch rule is false nothing is published and nothing quarantined.

`replay` judges quarantined rows again and gives a `Replay`: those that pass are published once and
marked, those that fail stay with their new reasons.

Refuses a check on a column that does not exist, a row rule that gives no boolean per row, a batch
rule that gives no single boolean, and to publish where main has moved on since the branch was cut.
"""
