"""``explain``: rows predicted, and what each feature added to each prediction."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from onward.stages.serve.gateway.handlers.aside import Aside
from onward.stages.serve.gateway.handlers.calls import Calls, encode, failure
from onward.stages.serve.gateway.handlers.explaining import Explainer, explainer
from onward.stages.serve.gateway.models.model import ServedModel
from onward.stages.serve.gateway.protocol.content import RefusedError
from onward.stages.serve.gateway.protocol.http import Headers
from onward.stages.serve.gateway.protocol.inference import said
from onward.stages.serve.gateway.routing.job import Handler, Job, Part
from onward.stages.serve.gateway.routing.live import Live

MOST: Final = 1_000
"""How many rows one request may have explained."""


def explain(live: Live, version: int | None, calls: Calls, aside: Aside) -> Handler:
    """Return what explains a version's predictions, or the champion's.

    They are predictions of the arm ``direct``: logged, with ids, and no part of any comparison.
    """
    chosen = live.champion.model.version if version is None else version
    made: list[Explainer] = []

    def handler(job: Job, body: bytes, headers: Headers) -> None:
        rows = live.decoder.decode(calls.plain(job, body, headers))
        if len(rows) > MOST:
            raise RefusedError(413, f"there are {len(rows):,} rows; at most {MOST:,} are explained")
        job.parts = calls.parts(live, chosen, rows, headers)
        job.reply = lambda job: failure(job.parts) or (200, b"")
        aside.after(job, work(job))

    def work(job: Job) -> Callable[[], bytes]:
        def explained() -> bytes:
            model = job.parts[0].target.model
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a library's, about names and versions
                if not made:
                    made.append(explainer(model))
                entries = _entries(model, made[0], job.parts)
                return encode(
                    {"model": model.name, "scale": made[0].scale, "explanations": [*entries]}
                )

        return explained

    return handler


def _entries(
    model: ServedModel, made: Explainer, parts: Sequence[Part]
) -> Iterator[dict[str, Any]]:
    names = [column.name for column in model.plan.columns]
    for part in parts:
        assert part.computed is not None
        assert part.output is not None
        base, contributions = made.shapley(part.computed, part.texts)
        for row, values in enumerate(part.computed.tolist()):
            for position, text in zip(model.strings, part.texts[row], strict=True):
                values[position] = text
            yield {
                "version": model.version,
                **({"id": part.ids[row]} if part.ids else {}),
                "unit": part.units[row],
                "output": said(model, part.output[row].tolist()),
                "base": said(model, base.tolist()),
                "contributions": {
                    name: said(model, added)
                    for name, added in zip(names, contributions[row].tolist(), strict=True)
                },
                "features": dict(zip(names, values, strict=True)),
            }
