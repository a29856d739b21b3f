"""Versions as the ledger tells them: what was registered, from what, and which of them serve.

The registry has the same, for others to ask. Asking it costs the import of its library.
"""

from __future__ import annotations

from collections.abc import Sequence

from onward.core.errors import NotFoundError, unknown_name
from onward.core.ports import Ledger
from onward.core.records import ImageRef, ModelRef
from onward.flow.happened import fact
from onward.flow.release.releases import champion
from onward.stages.register.port import RegisteredVersion


def versions(ledger: Ledger, model: str) -> Sequence[RegisteredVersion]:
    """Return a model's versions, newest first; none where nothing was registered."""
    registered = ledger.events(kind="model.registered", subject=model, newest_first=True)
    evaluated = {t.event.run: t for t in ledger.events(kind="model.evaluated", subject=model)}
    trained = {t.event.run: t for t in ledger.events(kind="model.trained", subject=model)}
    refs = [fact(told, "model", ModelRef) for told in registered]
    aliases = _aliases(ledger, model, refs[0].version if refs else None)
    found = []
    for told, version in zip(registered, refs, strict=True):
        run = told.event.run or ""
        found.append(
            RegisteredVersion(
                model=version,
                aliases=tuple(a for a, v in aliases.items() if v == version.version),
                metrics={
                    metric["name"]: metric["value"]
                    for metric in evaluated[run].event.facts["report"]["metrics"]
                },
                created_at=told.event.at,
                run=run,
                commit=trained[run].event.facts["commit"],
            )
        )
    return found


def version_of(ledger: Ledger, model: str, version: int) -> ModelRef:
    """Return a registered version.

    Raises
    ------
    NotFoundError
        There is no such model, or no such version of it.
    """
    told = ledger.events(kind="model.registered")
    known = {t.event.subject for t in told}
    if model not in known:
        what, expected = unknown_name("registered model", model, known)
        raise NotFoundError(what, expected=expected, next_step="`onward models` lists them")
    found = [fact(t, "model", ModelRef) for t in told if t.event.subject == model]
    for one in found:
        if one.version == version:
            return one
    listed = ", ".join(str(one.version) for one in found)
    raise NotFoundError(f"there is no version {version} of {model!r}", expected=f"one of: {listed}")


def _aliases(ledger: Ledger, model: str, newest: int | None) -> dict[str, int]:
    """Return the versions that have a name: what serves, and the newest that never did."""
    serving = champion(ledger, model)
    found = {"champion": serving.model.version} if serving else {}
    if newest is not None and newest not in _promoted(ledger, model):
        found["challenger"] = newest
    return found


def _promoted(ledger: Ledger, model: str) -> set[int]:
    ended = ledger.events(kind="release.ended", subject=model)
    keys = {told.event.key for told in ended if told.event.facts["how"] == "promoted"}
    started = ledger.events(kind="release.started", subject=model)
    return {
        fact(told, "candidate", ImageRef).model.version
        for told in started
        if told.event.key in keys
    }
