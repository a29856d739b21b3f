"""Expected rows beside those that came: equal or not, and in which column."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from onward.app.testing.inline import moment
from onward.core.errors import nearest

_DIGITS: Final = 1e-9
_SHOWN: Final = 20

Row = Mapping[str, Any]


def difference(name: str, expected: Sequence[Row], found: Sequence[Row], *, ordered: bool) -> str:
    """Return how the rows differ, in words; empty where they do not.

    Only columns that some expected row has are compared; a row without one expects NULL there.
    """
    columns = tuple(dict.fromkeys(column for row in expected for column in row))
    for column in columns:
        if found and column not in found[0]:
            close = nearest(column, found[0])
            meant = f"; did you mean {close!r}?" if close else ""
            return f"{name} gives no column {column!r}{meant} It gives {', '.join(found[0])}"
    if ordered:
        pairs = list(zip(expected, found, strict=False))
        wrong = [(e, f) for e, f in pairs if not _same(e, f, columns)]
        missing, extra = expected[len(found) :], found[len(expected) :]
    else:
        missing, extra = _unmatched(expected, found, columns)
        wrong, missing, extra = _paired(missing, extra, columns)
    if not (wrong or missing or extra):
        return ""
    lines = [f"{name} gives {len(found)} rows where {len(expected)} are expected:"]
    if len(found) == len(expected):
        lines = [f"{name} gives other rows than expected:"]
    for one, other in wrong[:_SHOWN]:
        lines += _side_by_side(one, other, columns)
    lines += [f"  missing     {_shown(row, columns)}" for row in missing[:_SHOWN]]
    lines += [f"  unexpected  {_shown(row, columns)}" for row in extra[:_SHOWN]]
    return "\n".join(lines)


def _same(expected: Row, found: Row, columns: Sequence[str]) -> bool:
    return all(_equal(expected.get(c), found[c]) for c in columns)


def _equal(expected: Any, found: Any) -> bool:
    if expected is None or found is None:
        return expected is found
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return expected.keys() == found.keys() and all(
            _equal(v, found[k]) for k, v in expected.items()
        )
    if isinstance(expected, (list, tuple)) and isinstance(found, list):
        return len(expected) == len(found) and all(map(_equal, expected, found))
    if isinstance(expected, (int, float)) and isinstance(found, (int, float)):
        both_nan = expected != expected and found != found
        return both_nan or math.isclose(expected, found, rel_tol=_DIGITS, abs_tol=1e-12)
    if isinstance(found, datetime) and isinstance(expected, (str, datetime)):
        return bool(_moment(expected) == found)
    if isinstance(found, date) and isinstance(expected, str):
        return expected == found.isoformat()
    return bool(expected == found)


def _moment(text: Any) -> Any:
    try:
        return moment(text)
    except ValueError:
        return text


def _unmatched(
    expected: Sequence[Row], found: Sequence[Row], columns: Sequence[str]
) -> tuple[list[Row], list[Row]]:
    left = list(found)
    missing = []
    for row in expected:
        at = next((i for i, other in enumerate(left) if _same(row, other, columns)), None)
        if at is None:
            missing.append(row)
        else:
            left.pop(at)
    return missing, left


def _paired(
    missing: Sequence[Row], extra: Sequence[Row], columns: Sequence[str]
) -> tuple[list[tuple[Row, Row]], list[Row], list[Row]]:
    """Put each missing row beside the row most like it; what is alike in nothing stays alone."""
    pairs: list[tuple[Row, Row]] = []
    left, alone = list(extra), []
    for row in missing:
        alike = [sum(_equal(row.get(c), other[c]) for c in columns) for other in left]
        if not alike or max(alike) == 0:
            alone.append(row)
        else:
            pairs.append((row, left.pop(alike.index(max(alike)))))
    return pairs, alone, left


def _side_by_side(expected: Row, found: Row, columns: Sequence[str]) -> list[str]:
    differs = [c for c in columns if not _equal(expected.get(c), found[c])]
    same = {c: found[c] for c in columns if c not in differs}
    lines = [f"  row {_shown(same, tuple(same))}" if same else "  row"]
    return lines + [f"    {c}: expected {expected.get(c)!r}, found {found[c]!r}" for c in differs]


def _shown(row: Row, columns: Sequence[str]) -> str:
    return ", ".join(f"{c}={_text(row.get(c))}" for c in columns)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, (date, datetime)) else repr(value)
