"""The demo's pictures: the scoreboard by month, and what the loop did over the year."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.app.demo.replay import Replayed

if TYPE_CHECKING:
    from onward.app.demo.scoreboard import Scoreboard

INK, QUIET, LIVE, ALONE = "#1f2933", "#9aa5b1", "#0b7285", "#d9480f"


def draw(
    folder: Path, board: Scoreboard, turns: Sequence[Replayed], marks: Sequence[tuple[Any, str]]
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


def _loop(folder: Path, turns: Sequence[Replayed], marks: Sequence[tuple[Any, str]]) -> Path:
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
    for at, text in marks:
        watched.axvline(at, color=QUIET, lw=0.8, ls=":")
        watched.annotate(
            text, (at, 1.0), xycoords=("data", "axes fraction"), rotation=90, va="top",
            ha="right", fontsize=7, color=INK,
        )  # fmt: skip
    traffic.legend(loc="upper left", fontsize=7, ncols=max(1, len(versions)), frameon=False)
    return _save(figure, watched, folder / "loop.png")


def _lines(axes: Any, turns: Sequence[Replayed]) -> None:
    """Draw each monitor's reading as a share of its limit: above 1 is a breach."""
    readings: dict[str, list[tuple[Any, float]]] = {}
    for told in turns:
        for result in told.turn.report.results if told.turn.report else ():
            if result.value is None or not result.limit or result.monitor not in _DRAWN:
                continue
            name = f"{_DRAWN[result.monitor]} {result.subject}".strip()
            readings.setdefault(name, []).append((told.at, result.value))
    for name, points in sorted(readings.items()):
        axes.plot([at for at, _ in points], [v for _, v in points], marker=".", lw=1, label=name)
    axes.set_ylabel("monitors' readings")
    if readings:
        axes.legend(loc="lower left", fontsize=7, frameon=False)


_DRAWN = {"performance": "performance", "prediction_drift": "prediction drift"}


def _save(figure: Any, axes: Any, path: Path) -> Path:
    from matplotlib import pyplot as plt

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if axes.get_legend() is None and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=140)
    plt.close(figure)
    return path
