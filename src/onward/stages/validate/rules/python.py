"""Rules in Python: a function of the batch that answers by row, or once for all."""

# ruff: noqa: S608 (queries are put together here; names are quoted)

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from onward.core.declarations import Check
from onward.core.declared import of_exception
from onward.core.errors import DataError, DeclarationError, OnwardError
from onward.core.sql import identifier
from onward.core.wording import counted
from onward.stages.validate.opened import BATCH, Opened, holds
from onward.stages.validate.rules.rule import (
    Rule,
    Verdict,
    batch_rule,
    misfit,
    require_columns,
    row_rule,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Given = Literal["pandas", "arrow", "polars"]
_MASKS: Final = "_masks"
_ANSWERED: Final = "_answered"
_ROWS_AT_A_TIME: Final = 122_880


@dataclass(frozen=True, slots=True, kw_only=True)
class Python:
    """`function` of a table with `columns` (all unless told) gives a mask of n booleans, or one.

    The table is what `given` says. It holds the whole batch, or, with `in_parts`, some 100,000
    rows at a time, whose masks are put together; then memory is bounded and one boolean is no
    answer.
    """

    function: Callable[..., Any]
    given: Given = "pandas"
    columns: tuple[str, ...] | None = None
    in_parts: bool = False

    def bind(self, check: Check, seen: Opened) -> Rule:
        if check.name not in seen.answers:
            return row_rule(check, seen.table[holds(check.name)])
        if check.severity == "quarantine":
            raise misfit(check, "gives one answer for the batch", "severity='hold' or 'warn'")
        verdict = Verdict(passed=seen.answers[check.name])
        return batch_rule(check, None, lambda _: verdict)


def answered(seen: Opened, checks: Sequence[Check]) -> Opened:
    """Ask every check in Python once; return the batch with their masks and answers.

    Raises
    ------
    DataError
        A function raises.
    DeclarationError
        It gives neither a boolean nor one per row, or reads a column that does not exist.
    """
    import pyarrow as pa

    masks: dict[str, np.ndarray] = {}
    answers: dict[str, bool] = {}
    for check in checks:
        if isinstance(check.rule, Python):
            found = _asked(check, check.rule, seen)
            if isinstance(found, bool):
                answers[check.name] = found
            else:
                masks[holds(check.name)] = found
    if not masks:
        return replace(seen, answers=answers)
    con = seen.connection.con
    con.register(_MASKS, pa.table(masks))
    # The batch comes in the same order whenever it is read whole: masks find their rows by place.
    con.execute(
        f"CREATE TEMP VIEW {_ANSWERED} AS "
        f"SELECT b.*, m.* FROM {seen.relation} b POSITIONAL JOIN {_MASKS} m"
    )
    return replace(seen, table=seen.connection.table(_ANSWERED), answers=answers)


def _asked(check: Check, rule: Python, seen: Opened) -> np.ndarray | bool:
    import numpy as np

    parts = []
    for table in _tables(check, rule, seen):
        try:
            answer = rule.function(_as(rule.given, table))
        except OnwardError:
            raise
        except Exception as error:  # the user's own code may raise anything
            raise DataError(
                f"check {check.name!r} raised {type(error).__name__}: {error}",
                expected="a function that answers for whatever comes",
                location=of_exception(error) or check.location,
            ) from error
        part = _mask(check, answer, table.num_rows)
        if isinstance(part, bool):
            if rule.in_parts:
                raise misfit(check, "gives one answer for a part of the batch", "a boolean per row")
            return part
        parts.append(part)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=bool)


def _tables(check: Check, rule: Python, seen: Opened) -> Iterator[pa.Table]:
    import pyarrow as pa

    columns = rule.columns or seen.columns
    require_columns(columns, seen.table, check)
    listed = ", ".join(map(identifier, columns))
    asked = seen.connection.con.execute(f"SELECT {listed} FROM {BATCH}")
    if not rule.in_parts:
        yield asked.to_arrow_table()
        return
    for part in asked.to_arrow_reader(_ROWS_AT_A_TIME):
        yield pa.Table.from_batches([part])


def _as(given: Given, table: pa.Table) -> Any:
    if given == "pandas":
        return table.to_pandas()
    if given == "polars":
        import polars as pl

        return pl.DataFrame(table)
    return table


def _mask(check: Check, answer: Any, rows: int) -> np.ndarray | bool:
    """Return the answer as n booleans or one; what is missing counts as false."""
    import numpy as np
    import pyarrow as pa

    if isinstance(answer, (bool, np.bool_)):
        return bool(answer)
    if isinstance(answer, pa.Scalar):
        return answer.as_py() is True
    if hasattr(answer, "reindex") and hasattr(answer, "index"):  # a Series, in whatever order
        answer = answer.reindex(range(rows)) if answer.index.is_unique else answer
    try:
        values = _arrow(answer)
    except Exception as error:  # whatever it is that the function gave
        raise _neither(check, type(answer).__name__) from error
    if pa.types.is_null(values.type):
        values = values.cast(pa.bool_())
    if not pa.types.is_boolean(values.type):
        raise _neither(check, f"{type(answer).__name__} of {values.type}")
    if len(values) != rows:
        raise _neither(check, f"{len(values):,} answers for {counted(rows, 'row')}")
    mask: np.ndarray = values.fill_null(False).to_numpy(zero_copy_only=False)
    return mask


def _arrow(answer: Any) -> pa.Array:
    import pyarrow as pa

    if hasattr(answer, "to_arrow"):
        answer = answer.to_arrow()
    if isinstance(answer, pa.ChunkedArray):
        return answer.combine_chunks()
    return answer if isinstance(answer, pa.Array) else pa.array(answer)


def _neither(check: Check, gives: str) -> DeclarationError:
    return misfit(check, f"gives {gives}", "a boolean per row, or one for the whole batch")
