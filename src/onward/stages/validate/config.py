"""What a user declares about data quality."""

from __future__ import annotations

from typing import Any

from onward.core.declarations import Check
from onward.core.declared import here


def check(name: str, rule: Any) -> Check:
    """A row rule: rows for which `rule` is false or NULL go to quarantine.

    `rule` is an Ibis expression on ``_`` (``_.distance > 0``) or a function of the table.
    """
    return Check(name=name, rule=rule, scope="row", location=here())


def batch_check(name: str, rule: Any) -> Check:
    """A batch rule: where it is false, nothing of the batch is published.

    `rule` is an aggregate Ibis expression on ``_`` (``_.count() > 1_000``) or a function.
    """
    return Check(name=name, rule=rule, scope="batch", location=here())
