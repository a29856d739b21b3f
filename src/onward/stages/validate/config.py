"""What a user declares about data quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

from onward.core.clock import duration
from onward.core.declarations import Check, Severity
from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.stages.validate.rules.distribution import NAMES, Distribution, Measure
from onward.stages.validate.rules.keys import Keep, References, Unique
from onward.stages.validate.rules.measured import Fresh, Share
from onward.stages.validate.rules.python import Given, Python
from onward.stages.validate.rules.reconciliation import Over, Reconciliation
from onward.stages.validate.rules.values import Values


def check(name: str, rule: Any, *, severity: Severity = "quarantine") -> Check:
    """A row rule: rows for which `rule` is false or NULL go to quarantine.

    `rule` is an Ibis expression on ``_`` (``_.distance > 0``) or a function of the table. With
    `severity` ``hold`` one such row holds the whole batch back, with ``warn`` they are published
    and counted.
    """
    return _check(name, rule, "row", severity, here())


def batch_check(name: str, rule: Any, *, severity: Severity = "hold") -> Check:
    """A batch rule: where it is false, nothing of the batch is published, or `severity` ``warn``.

    `rule` is an aggregate Ibis expression on ``_`` (``_.count() > 1_000``) or a function.
    """
    return _check(name, rule, "batch", severity, here())


def unique(
    *columns: str,
    keep: Keep = "none",
    by: str | None = None,
    published: bool = True,
    severity: Severity = "quarantine",
    name: str | None = None,
) -> Check:
    """No two rows have the same values in `columns`, in the batch or in what is published.

    A row whose key is published already is always an offender. Of several rows of one batch all
    are, for which of them is right is not known; with `keep` ``first`` or ``last`` all but the one
    that is first or last by the column `by` (ties go by the rest of the row). NULL is like no
    other value. `published` False looks at the batch alone, and so it is where publishing
    replaces rows or the table.
    """
    location = here()
    if not columns:
        raise DeclarationError(
            "ow.unique names no column", expected="ow.unique('order_id')", location=location
        )
    if keep not in ("none", "first", "last"):
        what, expected = unknown_name("rule for keep", keep, ("none", "first", "last"))
        raise DeclarationError(what, expected=expected, location=location)
    if (keep == "none") != (by is None):
        raise DeclarationError(
            f"ow.unique keeps {keep!r} by {by!r}",
            expected="keep='first' or 'last' with by='a column', or neither",
            location=location,
        )
    rule = Unique(columns=columns, keep=keep, by=by, published=published)
    what = f"{_listed(columns)} {'are' if len(columns) > 1 else 'is'} unique"
    return _check(name or what, rule, "row", severity, location)


def references(
    columns: str | Sequence[str],
    to: str | Sequence[str],
    *,
    severity: Severity = "quarantine",
    name: str | None = None,
) -> Check:
    """A foreign key: each value of `columns` is one that `to` has, ``dataset.column``.

    `to` names columns of one source or transform, which is brought up to date first. NULL refers
    to nothing and is no offence. A dataset may refer to itself: the batch then counts as well.
    """
    location = here()
    ours = (columns,) if isinstance(columns, str) else tuple(columns)
    theirs = (to,) if isinstance(to, str) else tuple(to)
    parts = [tuple(target.split(".")) for target in theirs]
    datasets = {part[0] for part in parts}
    if len(ours) != len(theirs) or any(len(p) != 2 for p in parts) or len(datasets) != 1:
        raise DeclarationError(
            f"ow.references leads from {_listed(ours)} to {_listed(theirs)}",
            expected="as many columns of one dataset: ow.references('customer_id', "
            "'customers.customer_id')",
            location=location,
        )
    dataset = datasets.pop()
    rule = References(columns=ours, dataset=dataset, keys=tuple(key for _, key in parts))
    what = f"{_listed(ours)} {'are' if len(ours) > 1 else 'is'} in {_listed(theirs)}"
    found = _check(name or what, rule, "row", severity, location)
    return replace(found, reads=(dataset,))


def complete(
    column: str, *, at_least: float = 1.0, severity: Severity = "hold", name: str | None = None
) -> Check:
    """At least this share of the batch's rows has a value in `column`."""
    location = here()
    _require_share(at_least, location)
    rule = Share(rule=Values(column=column, test="present"), at_least=at_least)
    return _check(name or f"{column} is complete", rule, "batch", severity, location)


def fresh(
    column: str, within: str | timedelta, *, severity: Severity = "hold", name: str | None = None
) -> Check:
    """The newest time in `column` is no older than `within` when the batch is audited."""
    location = here()
    rule = Fresh(column=column, within=duration(within, location))
    what = name or f"{column} is fresh"
    return replace(_check(what, rule, "batch", severity, location), timed=True)


def reconcile(
    name: str,
    ours: Any,
    theirs: Any,
    *,
    by: str | Sequence[str] = (),
    tolerance: float = 0.0,
    over: Over = "batch",
    severity: Severity = "hold",
) -> Check:
    """What the batch adds up to is what another table, or a control total, says.

    Parameters
    ----------
    ours
        An aggregate over the batch: ``_.amount.sum()``.
    theirs
        A number, or another source or transform and an aggregate over it:
        ``("invoices", _.total.sum())``.
    by
        Columns that both have: the two are then compared in each group of the batch.
    tolerance
        How far apart they may be.
    over
        ``table`` compares the whole table as publishing would leave it, not the batch alone.
    """
    location = here()
    if isinstance(theirs, tuple) and len(theirs) == 2 and isinstance(theirs[0], str):
        dataset, value = theirs
    else:
        dataset, value = None, theirs
        if isinstance(theirs, bool) or not isinstance(theirs, (int, float)):
            raise DeclarationError(
                f"check {name!r} reconciles with {theirs!r}",
                expected="a number, or a dataset and an aggregate: ('invoices', _.total.sum())",
                location=location,
            )
    if over not in ("batch", "table"):
        what, expected = unknown_name("range", over, ("batch", "table"))
        raise DeclarationError(what, expected=expected, location=location)
    groups = (by,) if isinstance(by, str) else tuple(by)
    if groups and dataset is None:
        raise DeclarationError(
            f"check {name!r} compares groups with one number",
            expected="another dataset to compare with, or no `by`",
            location=location,
        )
    rule = Reconciliation(
        ours=ours, theirs=value, dataset=dataset, by=groups, tolerance=tolerance, over=over
    )
    found = _check(name, rule, "batch", severity, location)
    return replace(found, reads=(dataset,)) if dataset else found


def distribution(
    column: str,
    measure: Measure = "psi",
    *,
    at_most: float = 0.2,
    last: int = 5,
    severity: Severity = "hold",
    name: str | None = None,
) -> Check:
    """The column is distributed as in the `last` published batches, up to an effect size.

    `measure` is ``psi``, ``jensen_shannon`` (both also for text) or ``mean_difference``, in
    standard deviations. Never a p-value: with many rows that finds every difference.
    """
    location = here()
    if measure not in NAMES:
        what, expected = unknown_name("measure", measure, NAMES)
        raise DeclarationError(what, expected=expected, location=location)
    if at_most <= 0 or last < 1:
        raise DeclarationError(
            f"ow.distribution allows {at_most} against the last {last} batches",
            expected="a distance above 0 and at least 1 batch",
            location=location,
        )
    rule = Distribution(column=column, measure=measure, at_most=at_most, last=last)
    what = name or f"{column} is distributed as before"
    return replace(_check(what, rule, "batch", severity, location), profiles=last)


def python_check(
    name: str,
    function: Callable[..., Any],
    *,
    given: Given = "pandas",
    columns: Sequence[str] | None = None,
    in_parts: bool = False,
    severity: Severity | None = None,
) -> Check:
    """A rule in Python: `function` of the batch gives a boolean per row, or one for all.

    Rows with false go to quarantine; one false holds the batch; unless `severity` says otherwise.
    The function is given a table of `columns`, all unless named, and it is in memory at once;
    with `in_parts` it is called with some 100,000 rows at a time and must answer by row.
    """
    location = here()
    if given not in ("pandas", "arrow", "polars"):
        what, expected = unknown_name("table", given, ("pandas", "arrow", "polars"))
        raise DeclarationError(what, expected=expected, location=location)
    named = None if columns is None else tuple(columns)
    rule = Python(function=function, given=given, columns=named, in_parts=in_parts)
    return _check(name, rule, None, severity, location)


def _check(
    name: str,
    rule: Any,
    scope: Literal["row", "batch"] | None,
    severity: Severity | None,
    location: Location | None,
) -> Check:
    known = ("hold", "warn") if scope == "batch" else ("quarantine", "hold", "warn")
    if severity is not None and severity not in known:
        what, expected = unknown_name("severity", severity, known)
        if severity == "quarantine":
            what = f"check {name!r} judges the batch and cannot quarantine rows"
        raise DeclarationError(what, expected=expected, location=location)
    return Check(name=name, rule=rule, scope=scope, severity=severity, location=location)


def _require_share(share: float, location: Location | None) -> None:
    if not 0 < share <= 1:
        raise DeclarationError(
            f"a share of rows cannot be {share}", expected="above 0, up to 1", location=location
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
