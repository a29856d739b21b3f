"""Whether the gates that a user declared can be answered at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from onward.core.declarations import Task
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.stages.evaluate.config import AtLeast, BeatsChampion, Fair, Gate, Robust
from onward.stages.evaluate.metrics import metrics_of

MEASURES: Final = (
    "selection_rate_ratio",
    "selection_rate_difference",
    "equalized_odds_ratio",
    "equalized_odds_difference",
)


def check_gates(gates: Sequence[Gate], task: Task, request_columns: Sequence[str] | None) -> None:
    """Refuse a gate that names what is not there; columns only if it is known which there are.

    Raises
    ------
    DeclarationError
        A metric is not the task's, a column is none of the request's, a fairness measure is
        unknown, or is asked of a task that selects nothing.
    """
    for gate in gates:
        match gate:
            case (
                AtLeast(metric=metric)
                | BeatsChampion(metric=metric)
                | Robust(metric=str(metric))  # None is the task's standard metric
            ):
                _require(f"metric of a {task} task", metric, metrics_of(task), gate.location)
            case Fair():
                _check_fair(gate, task, request_columns)


def _check_fair(gate: Fair, task: Task, columns: Sequence[str] | None) -> None:
    if task != "binary":
        raise DeclarationError(
            f"a fairness gate cannot be asked of a {task} task",
            expected='task="binary": fairness measures compare who is selected',
            location=gate.location,
        )
    if columns is not None:
        _require("request column", gate.column, columns, gate.location)
    _require("fairness measure", gate.measure, MEASURES, gate.location)


def _require(kind: str, name: str, known: Iterable[str], location: Location | None) -> None:
    names = tuple(known)
    if name not in names:
        what, expected = unknown_name(kind, name, names)
        raise DeclarationError(what, expected=expected, location=location)
