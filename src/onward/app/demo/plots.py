"""The demo's pictures: the scoreboard by month, and what the loop did over the year."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.app.demo.replay import Replayed

if TYPE_CHECKING:
    from onward.app.demo.scoreboard import Scoreboard

Mark = tuple[datetime, str]

INK, QUIET, LIVE, ALONE = "#1f2933", "#9aa5b1", "#0b7285", "#d9480f"


def draw(
    folder: Path,
    board: Scoreboard,
    turns: Sequence[Replayed],
    marks: Sequence[Mark],
) -> list[Path]:
    """Write ``scoreboard.png`` and ``loop.png`` into `folder`; return their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    return [_scoreboard(folder, board), _loop(folder, turns, marks)]


def _scoreboard(folder: Path, board: Scoreboard) -> Path:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
    months = [month.name for month in board.months]
    sides = (("delivered", LIVE, -0.07, "delivered continuously"),
             ("alone", ALONE, 0.07, "first champion left alone"))  # fmt: skip
    for side, colour, shift, name in sides:
        metrics = [getattr(month, side) for month in board.months]
        places = [i + shift for i in range(len(months))]
        low = [m.value - m.low for m in metrics]
        high = [m.high - m.value for m in metrics]
        axes.errorbar(
            places, [m.value for m in metrics], yerr=[low, high], color=colour, marker="o",
            capsize=3, lw=1.5, label=name,
        )  # fmt: skip
    axes.set_xticks(range(len(months)), months)
    axes.set_ylabel("ROC AUC, 95 % interval")
    axes.set_title("Late arrivals from New York, 2013: by month of departure", loc="left")
    return _save(figure, axes, folder / "scoreboard.png")


def _loop(folder: Path, turns: Sequence[Replayed], marks: Sequence[Mark]) -> Path:
    from matplotlib import pyplot as plt

    figure, (traffic, watched) = plt.subplots(
        2, 1, figsize=(9, 6.5), sharex=True, layout="constrained", height_ratios=(2, 3)
    )
    days = [t.at for t in turns]
    versions = sorted({v for t in turns for v in t.sent.by_version})
    shares = [
        [100 * t.sent.by_version.get(v, 0) / max(1, sum(t.sent.by_version.values())) for t in turns]
        for v in versions
    ]
    traffic.stackplot(days, *shares, labels=[f"version {v}" for v in versions], alpha=0.85)
    traffic.set_ylabel("share of traffic, %")
    traffic.set_title("Who answered, and why it changed", loc="left")
    _lines(watched, turns)
    for at, text in _together(marks):
        watched.axvline(at, color=QUIET, lw=0.8, ls=":")
        watched.annotate(
            text, (at, 1.0), xycoords=("data", "axes fraction"), rotation=90, va="top",
            ha="right", fontsize=7, color=INK,
        )  # fmt: skip
    traffic.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=7, frameon=False)
    for side in ("top", "right"):
        traffic.spines[side].set_visible(False)
    return _save(figure, watched, folder / "loop.png")


def _together(marks: Sequence[Mark]) -> list[Mark]:
    """Join what happened at one moment into one mark."""
    found: dict[datetime, str] = {}
    for at, text in marks:
        found[at] = f"{found[at]}: {text}" if at in found else text
    return list(found.items())


def _lines(axes: Any, turns: Sequence[Replayed]) -> None:
    """Draw what the performance monitors read, window by window."""
    readings: dict[str, list[tuple[datetime, float]]] = {}
    for told in turns:
        for result in told.turn.report.results if told.turn.report else ():
            if result.monitor == "performance" and result.value is not None:
                readings.setdefault(result.subject, []).append((told.at, result.value))
    for name, points in sorted(readings.items()):
        at, values = zip(*points, strict=True)
        axes.plot(at, values, marker="o", ms=3, lw=1.2, color=LIVE, label=f"{name}, by window")
    axes.set_ylabel("performance on arrived labels")


def _save(figure: Any, axes: Any, path: Path) -> Path:
    from matplotlib import pyplot as plt

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if axes.get_legend() is None and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=140)
    plt.close(figure)
    return path
