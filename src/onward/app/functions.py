"""On-demand functions as a team looks for them: what each reads and gives, and who takes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from onward.core.declared import first_paragraph

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.records import OnDemandPlan
    from onward.stages.features.on_demand import OnDemand


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """An on-demand function of the pipeline file.

    `version` is the fingerprint of its code and of the views that it reads, `request` and
    `features` what it reads of a request and of views. `gives` are its features as the champion
    has them, None where that has no function of this name. `used_by` are the model and the
    services that take it.
    """

    kind: Literal["on-demand"] = "on-demand"
    name: str
    description: str
    version: str
    request: tuple[str, ...]
    features: tuple[str, ...]
    gives: tuple[str, ...] | None
    used_by: tuple[str, ...]
    declared_at: str


def functions(project: Project, text: str = "") -> Sequence[Function]:
    """Return the functions in whose name, words or columns `text` stands; all of them without."""
    planned = _planned(project)
    found = [_function(project, one, planned) for one in project.definition.on_demand]
    return [one for one in found if text.lower() in " ".join(_words(one)).lower()]


def function(project: Project, name: str) -> Function | None:
    """Return one function, None where there is none of the name."""
    return next((one for one in functions(project) if one.name == name), None)


def _planned(project: Project) -> Sequence[OnDemandPlan]:
    from onward.flow.plans import plan_of
    from onward.flow.release.releases import champion

    serving = champion(project.ledger, project.definition.model)
    return () if serving is None else plan_of(serving.model).on_demand


def _function(project: Project, one: OnDemand, planned: Sequence[OnDemandPlan]) -> Function:
    return Function(
        name=one.name,
        description=first_paragraph(one.function),
        version=one.digest,
        request=one.request,
        features=one.features,
        gives=next((part.outputs for part in planned if part.name == one.name), None),
        used_by=tuple(_takers(project, one)),
        declared_at=str(one.location or ""),
    )


def _takers(project: Project, one: OnDemand) -> Iterator[str]:
    definition = project.definition
    if one in definition.pipeline.model.features:
        yield f"model {definition.model}"
    for service in definition.services.values():
        if one in service.members:
            yield f"service {service.name}"


def _words(one: Function) -> Iterator[str]:
    yield from (one.name, one.description, *one.request, *one.features, *(one.gives or ()))
