"""`onward release`: how a release stands, its sequences, and a hand on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from onward.surfaces.cli.options import HERE, Folder, Json, alone

if TYPE_CHECKING:
    from onward.app.release import ReleaseStatus
    from onward.core.records import GuardrailResult, ReleaseDecision
    from onward.flow.release.releases import Release

_cli = typer.Typer(
    help="The release under way: how it stands, and a hand on it.",
    invoke_without_command=True,
    no_args_is_help=False,
)

Reason = Annotated[str, typer.Option(help="Why; it goes into the ledger.")]

_STATES: Final = {"safe": "green", "harm": "red", "undecided": "yellow", "no data": "dim"}


def register(cli: typer.Typer) -> None:
    """Add this file's commands."""
    cli.add_typer(_cli, name="release")


@_cli.callback(epilog="Example: onward release")
def standing(context: typer.Context, project: Folder = HERE, as_json: Json = False) -> None:
    """Show arms, shares, guardrails, and what is missing for a verdict."""
    if not alone(context, project, as_json):
        return
    from onward.app.project import open_project
    from onward.app.release import release_status

    with open_project(project) as opened:
        _show(release_status(opened), as_json=as_json)


@_cli.command(epilog="Example: onward release plot --guardrail latency")
def plot(
    guardrail: Annotated[str, typer.Option(help="Which one.")] = "error rate",
    arm: Annotated[str, typer.Option(help="Whose.")] = "candidate",
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Draw a guardrail's confidence sequence since the strategy began."""
    from onward.app.project import open_project
    from onward.app.release import release_history
    from onward.core.errors import NotFoundError, unknown_name
    from onward.surfaces.cli.show import put

    with open_project(project) as opened:
        decisions = release_history(opened)
    arms = {g.arm for d in decisions for g in d.guardrails}
    if arm not in arms | {"candidate"}:
        what, expected = unknown_name("arm with data", arm, arms)
        raise NotFoundError(what, expected=expected)
    known = {g.name for d in decisions for g in d.guardrails}
    found = [
        (decision, reading)
        for decision in decisions
        for reading in decision.guardrails
        if reading.name == guardrail and reading.arm in (arm, "shadow")
    ]
    if not found:
        what, expected = unknown_name("guardrail with data", guardrail, known)
        raise NotFoundError(what, expected=expected)
    points = [{"at": decision.at, "reading": reading} for decision, reading in found]
    if not put(points, as_json):
        _plot([reading for _, reading in found], found[0][0], found[-1][0])


@_cli.command(epilog="Example: onward release pause --reason 'a holiday'")
def pause(
    reason: Reason = "asked for", project: Folder = HERE, as_json: Json = False
) -> None:  # fmt: skip
    """Let it neither advance nor be promoted; harm ends it all the same."""
    _steer("pause", reason, project, as_json)


@_cli.command(epilog="Example: onward release resume")
def resume(
    reason: Reason = "asked for", project: Folder = HERE, as_json: Json = False
) -> None:  # fmt: skip
    """Let a paused release go on."""
    _steer("resume", reason, project, as_json)


@_cli.command(epilog="Example: onward release promote --reason 'reviewed by hand'")
def promote(
    reason: Reason = "asked for",
    arm: Annotated[str, typer.Option(help="Which arm.")] = "candidate",
    project: Folder = HERE,
    as_json: Json = False,
) -> None:
    """Make the candidate the champion now, whatever the statistics say."""
    _steer("promote", reason, project, as_json, arm=arm)


@_cli.command(epilog="Example: onward release abort --reason 'support calls'")
def abort(
    reason: Reason = "asked for", project: Folder = HERE, as_json: Json = False
) -> None:  # fmt: skip
    """Give everything back to the champion now."""
    _steer("abort", reason, project, as_json)


def _steer(
    verb: str, reason: str, project: Folder, as_json: bool, *, arm: str = "candidate"
) -> None:  # fmt: skip
    from onward.app.project import open_project
    from onward.app.release import steer
    from onward.surfaces.cli.show import console, plain, put

    with open_project(project) as opened:
        release = steer(opened, verb, reason, arm=arm)
    if put(release, as_json):
        return
    console.print(plain(_done(verb, release)))
    console.print("[dim]next: `onward release` shows how it stands[/]")


def _done(verb: str, release: Release) -> str:
    name = f"version {release.version} of {release.model}"
    match verb:
        case "pause":
            return f"the release of {name} is paused at {release.percent:g} %"
        case "resume":
            return f"the release of {name} goes on"
        case "promote":
            return f"the release of {name} is over: its arm is champion"
        case _:
            return f"{name} is out of traffic"


# ---------------------------------------------------------------- showing


def _show(status: ReleaseStatus, *, as_json: bool) -> None:
    from onward.surfaces.cli.show import console, plain, put

    if put(status, as_json):
        return
    release, decision = status.release, status.decision
    name = f"version {release.version} of {release.model}"
    for earlier in status.decided:
        console.print(
            f"[dim]{earlier.at:%Y-%m-%d %H:%M}  {earlier.strategy}, step {earlier.step}:[/] "
            f"{earlier.action}; {plain(earlier.reason)}",
            soft_wrap=True,
        )
    if decision is None:
        for sentence in release.endings:
            console.print(plain(sentence), soft_wrap=True)
        return
    strategies = [
        f"[bold]{plain(s)}[/]" if place == release.strategy else f"[dim]{plain(s)}[/]"
        for place, s in enumerate(status.strategies)
    ]
    paused = f", [yellow]paused[/]: {plain(release.paused)}" if release.paused else ""
    console.print(f"[bold]{plain(name)}[/]: {', then '.join(strategies)}{paused}")
    console.print(f"step {release.step}, since {release.step_started_at:%Y-%m-%d %H:%M}")
    if release.audience:
        console.print(f"for {plain(release.audience)}")
    _show_arms(status)
    _show_guardrails(decision.guardrails)
    held = decision.terms
    console.print(
        f"[dim]at least {held.minimum:,} answers, and until {held.not_before:%Y-%m-%d %H:%M}; "
        f"falls back at {held.deadline:%Y-%m-%d %H:%M}[/]"
    )
    console.print(f"[bold]{decision.action}[/]: {plain(decision.reason)}")


def _show_arms(status: ReleaseStatus) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console

    release, units = status.release, status.decision.units if status.decision else ()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("arm", "version", "decided", "served", "units"):
        table.add_column(column, justify="left" if column == "arm" else "right")
    champion = release.champion.model.version if release.champion else 0
    versions = {arm: image.model.version for arm, image in release.arms.items()}
    versions |= {"champion": champion, "shadow": release.version}
    for arm, percent in release.now.items():
        served = (status.served or {}).get(arm)
        table.add_row(
            arm,
            str(versions.get(arm, "")),
            f"{percent:g} %",
            "no gateway" if served is None else f"{served:g} %",
            f"{sum(counts.get(arm, 0) for counts, _ in units):,}",
        )
    console.print(table)


def _show_guardrails(found: Sequence[GuardrailResult]) -> None:
    from rich.table import Table

    from onward.surfaces.cli.show import console

    if not found:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("guardrail", "arm", "estimate", "low", "high", "tolerated", "units", ""):
        side = "left" if column in ("guardrail", "arm", "") else "right"
        table.add_column(column, justify=side)  # type: ignore[arg-type]  # one of rich's words
    for g in found:
        known = g.state != "no data"
        figures = [f"{x:+.4f}" if known else "" for x in (g.difference, g.low, g.high)]
        table.add_row(
            g.name, g.arm, *figures, f"{g.tolerance:+.4f}",
            f"{g.candidate_n:,} / {g.champion_n:,}", f"[{_STATES[g.state]}]{g.state}[/]",
        )  # fmt: skip
    console.print(table)


ROWS: Final = 15


def _plot(
    readings: Sequence[GuardrailResult], first: ReleaseDecision, last: ReleaseDecision
) -> None:
    """Draw the sequence: a column per look, from its low to its high, with the tolerance."""
    from onward.surfaces.cli.show import console, plain

    drawn = [(g, g.low, g.high) for g in readings if g.low is not None and g.high is not None]
    if not drawn:
        console.print("no data yet")
        return
    newest, *bounds = drawn[-1]
    tolerance = newest.tolerance
    reach = max(abs(tolerance), *(abs(newest.difference - x) for x in bounds))
    top, bottom = (newest.difference + sign * 3 * reach for sign in (1, -1))
    top, bottom = max(top, tolerance * 1.2), min(bottom, 0.0)
    for row in range(ROWS):
        high = top - row * (top - bottom) / ROWS
        low = high - (top - bottom) / ROWS
        line = "".join(_mark(g, (least, most), low, high) for g, least, most in drawn)
        console.print(f"[dim]{(high + low) / 2:+9.4f}[/] {line}")
    console.print(
        f"[dim]{plain(newest.name)} of {plain(newest.arm)} minus champion, "
        f"{first.at:%Y-%m-%d %H:%M} to {last.at:%Y-%m-%d %H:%M}; ─ tolerated, ┄ none[/]"
    )


def _mark(g: GuardrailResult, bounds: tuple[float, float], low: float, high: float) -> str:
    """Return what stands where the column of a reading crosses the row from `low` to `high`."""
    if low <= g.difference < high:
        return f"[{_STATES[g.state]}]●[/]"
    if bounds[0] < high and bounds[1] >= low:
        return f"[{_STATES[g.state]}]│[/]"
    if low <= g.tolerance < high:
        return "[dim]─[/]"
    return "[dim]┄[/]" if low <= 0 < high else " "
