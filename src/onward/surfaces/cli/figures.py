"""Figures as people read them: counts, shares, values of a profile, and lines of bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def spark(counts: Sequence[float | None]) -> str:
    """Draw numbers as a line of bars, the greatest full; zero is blank, None a dot."""
    most = max((c for c in counts if c is not None), default=0)
    return "".join("·" if c is None else _block(c, most) for c in counts)


def halved(counts: Sequence[int]) -> list[int]:
    """Return half as many counts, each the sum of two that are next to each other."""
    return [sum(counts[i : i + 2]) for i in range(0, len(counts), 2)]


def share(part: float, whole: float) -> str:
    """Write a part of a whole as a percentage; what is neither none nor all never reads so."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "<0.1 %"
    if 99.5 <= percent < 100:
        return f"{min(percent, 99.9):.1f} %"
    return f"{percent:.1f} %" if percent < 10 else f"{percent:.0f} %"


def value(found: Any) -> str:
    """Write one value of a profile: numbers short, times without what is zero at their end."""
    if found is None:
        return ""
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, int):
        return f"{found:,}"
    if isinstance(found, float):
        return f"{found:,.0f}" if abs(found) >= 100_000 and found == int(found) else f"{found:.6g}"
    text = str(found).replace("+00:00", "").replace("T", " ")
    return text.removesuffix(" 00:00:00")


def significant(found: Any) -> str:
    """Write a feature's value: a number with fraction to four significant digits."""
    if isinstance(found, float) and math.isfinite(found):
        return f"{found:,.0f}" if abs(found) >= 10_000 or not found else f"{found:.4g}"
    return str(found)


def probabilities(of: Mapping[str, float]) -> str:
    """Write the probability of each class, the likeliest first."""
    likeliest = sorted(of.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {significant(figure)}" for name, figure in likeliest)


def age(moment: datetime | None, now: datetime) -> str:
    """Write how old something is, in the largest unit of which it is two."""
    if moment is None:
        return "none"
    seconds = (now - moment).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def summary(facts: Mapping[str, Any], rows: int) -> str:
    """Write in a line what a column holds: ends and middle, or its most frequent values."""
    if facts["type"] in ("number", "time"):
        if facts["min"] is None:
            return ""
        ends = [value(e) for e in (facts["min"], facts["quantiles"]["0.5"], facts["max"])]
        days = {end[:10] for end in ends}
        return " · ".join(end[:10] if len(days) > 1 and "-" in end else end for end in ends)
    if facts["type"] == "boolean" and facts["mean"] is not None:
        return f"true {share(facts['mean'], 1)}"
    if facts["type"] == "string":
        top = [f"{text or '(empty)'} {share(part, 1)}" for text, part in facts["top"][:3]]
        return "" if facts["distinct"] == rows else ", ".join(top)
    return ""


def _block(count: float, most: float) -> str:
    if not count or not most:
        return " "
    return _BLOCKS[min(len(_BLOCKS) - 1, int(count / most * len(_BLOCKS)))]
