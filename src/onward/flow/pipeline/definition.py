"""The definition: every declaration of a user's file, resolved and checked against each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from onward.core import fingerprint
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.flow.pipeline.declared import Pipeline
from onward.stages.features.config import FeatureView, Label
from onward.stages.features.on_demand import OnDemand, require_no_view, views_of
from onward.stages.features.plan import request_names
from onward.stages.features.service import FeatureService
from onward.stages.ingest.config import Source
from onward.stages.serve.audience import require_columns
from onward.stages.transform.config import DbtProject, Transform
from onward.stages.transform.dbt import transforms as dbt_transforms
from onward.stages.transform.port import Manifest
from onward.stages.transform.step import order, resolve
from onward.watch.access.config import Access, require_roles


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What is to be delivered: sources, transforms in build order, and the pipeline.

    `digest` changes when any declaration does; `commit` is the project's, where there is one.
    """

    sources: Mapping[str, Source]
    transforms: tuple[Transform, ...]
    pipeline: Pipeline
    digest: str
    commit: str | None
    access: Access | None = None
    services: Mapping[str, FeatureService] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return self.pipeline.model.name

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """The feature views that the model or a feature service reads, each once and whole."""
        return views_of(self._features)

    @property
    def on_demand(self) -> tuple[OnDemand, ...]:
        """The on-demand functions of the model and of feature services, each once."""
        named = {f.name: f for f in self._features if isinstance(f, OnDemand)}
        return tuple(named.values())

    @property
    def _features(self) -> tuple[FeatureView | OnDemand, ...]:
        members = (m for service in self.services.values() for m in service.members)
        return (*self.pipeline.model.features, *members)

    @property
    def personal(self) -> tuple[str, ...]:
        """The columns, by name, that say whom rows are about: no value of them is told on."""
        return tuple(sorted({c for source in self.sources.values() for c in source.subject}))

    def table(self, name: str) -> str:
        """Return the lake's table for a source or a transform."""
        if name in self.sources:
            return self.sources[name].table
        return next(t.table for t in self.transforms if t.name == name)


def define(
    declared: Iterable[object],
    *,
    folder: Path,
    file: str,
    commit: str | None,
    manifest: Callable[[DbtProject], Manifest] | None = None,
) -> Definition:
    """Put a module's declarations together; `manifest` tells what a dbt project holds.

    Raises
    ------
    DeclarationError
        There is not exactly one pipeline, a name is declared twice, or a function reads a
        dataset that nothing declares.
    """
    found = list(declared)
    pipeline = _only_pipeline([d for d in found if isinstance(d, Pipeline)], file)
    sources = _in_order(_by_name([d for d in found if isinstance(d, Source)]))
    projects = [d for d in found if isinstance(d, DbtProject)]
    manifests = [_manifest(project, manifest) for project in projects]
    models = [
        model
        for project, known in zip(projects, manifests, strict=True)
        for model in dbt_transforms(project, known, folder)
    ]
    transforms = _by_name([*(d for d in found if isinstance(d, Transform)), *models])
    for name in sources.keys() & transforms.keys():
        raise DeclarationError(
            f"{name!r} is both a source and a transform",
            expected="a name of its own for each dataset",
            location=transforms[name].location,
        )
    known = (*sources, *transforms)
    resolved = [resolve(t, folder=folder, known=known) for t in transforms.values()]
    audited: list[Source | Transform] = [*sources.values(), *resolved]
    for dataset in audited:
        _check_reads(dataset, sources, known)
    for transform in resolved:
        _reads("transform", transform.name, transform.inputs, known, transform.location)
    _check_model(pipeline, known)
    services = _by_name([d for d in found if isinstance(d, FeatureService)])
    members = [m for service in services.values() for m in service.members]
    features = [*pipeline.model.features, *members]
    views = {d.name for d in (*found, *features) if isinstance(d, FeatureView)}
    for view in views_of(features):
        _reads("feature view", view.name, view.inputs, known, view.location)
    for function in features:
        if isinstance(function, OnDemand):
            require_no_view(function, views)
    ordered = order(resolved, sources=tuple(sources))
    return Definition(
        sources=sources,
        transforms=ordered,
        pipeline=pipeline,
        digest=_digest(
            (*sources.values(), *ordered, *manifests, *services.values(), pipeline), folder
        ),
        commit=commit,
        access=_access([d for d in found if isinstance(d, Access)], sources),
        services=services,
    )


def _manifest(project: DbtProject, manifest: Callable[[DbtProject], Manifest] | None) -> Manifest:
    if manifest is None:
        raise DeclarationError(
            f"the dbt project {project.folder} is not to be looked into here",
            expected="an Onward project, opened: its settings say where dbt is",
            location=project.location,
        )
    return manifest(project)


def _only_pipeline(found: list[Pipeline], file: str) -> Pipeline:
    if len(found) != 1:
        raise DeclarationError(
            f"{file} declares {len(found) or 'no'} pipeline{'s' if len(found) > 1 else ''}",
            expected="exactly one `pipeline = ow.Pipeline(model=...)` at the top level",
            location=found[-1].location if found else Location(file, 1),
        )
    return found[0]


def _access(found: list[Access], sources: Mapping[str, Source]) -> Access | None:
    """Return the one declaration of access, if any; masks name roles of it."""
    if len(found) > 1:
        raise DeclarationError(
            "access is declared twice", expected="one ow.Access(...)", location=found[-1].location
        )
    for source in sources.values():
        roles = {mask.role: column for column, mask in source.masked.items() if mask.role}
        if found:
            require_roles(roles, found[0].roles, source.location)
    return found[0] if found else None


def _by_name(found: list[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for declaration in found:
        if named.setdefault(declaration.name, declaration) is not declaration:
            raise DeclarationError(
                f"{declaration.name!r} is declared twice",
                expected=f"one declaration; the first is at {named[declaration.name].location}",
                location=declaration.location,
            )
    return named


def _in_order(sources: dict[str, Source]) -> dict[str, Source]:
    """Return the sources so that each comes after those that its checks refer to."""
    beside = {
        s.name: {name for check in s.checks for name in check.reads if name in sources} - {s.name}
        for s in sources.values()
    }
    try:
        return {name: sources[name] for name in TopologicalSorter(beside).static_order()}
    except CycleError as error:
        circle = error.args[1][::-1]
        raise DeclarationError(
            f"the checks of sources refer to each other in a circle: {' to '.join(circle)}",
            expected="checks that lead one way: each source is published before those that refer "
            "to it",
            location=sources[circle[0]].location,
        ) from None


def _check_reads(dataset: Source | Transform, sources: Iterable[str], known: Iterable[str]) -> None:
    # A source is audited before any table is derived.
    readable = sources if isinstance(dataset, Source) else known
    for check in dataset.checks:
        _reads("check", check.name, check.reads, readable, check.location)


def _check_model(pipeline: Pipeline, known: Iterable[str]) -> None:
    model = pipeline.model
    if not isinstance(model.label, Label):
        raise DeclarationError(
            f"the label of model {model.name!r} is {model.label!r}",
            expected="a function decorated with @ow.label(...)",
            location=model.location,
        )
    if not model.features:
        raise DeclarationError(
            f"model {model.name!r} has no features",
            expected="features=[a feature view or an on-demand function, ...]",
            location=model.location,
        )
    for feature in model.features:
        if not isinstance(feature, (FeatureView, OnDemand)):
            raise DeclarationError(
                f"{feature!r} is no feature of model {model.name!r}",
                expected="functions decorated with @ow.feature_view(...) or @ow.on_demand",
                location=model.location,
            )
    label = model.label
    _reads("label", label.name, label.inputs, known, label.location)
    _check_audiences(pipeline)


def _check_audiences(pipeline: Pipeline) -> None:
    model = pipeline.model
    columns = {*model.label.key, *request_names(model, views_of(model.features))}
    for strategy in pipeline.release:
        if strategy.audience is not None:
            require_columns(strategy.audience, columns, strategy.location)


def _reads(
    kind: str, name: str, inputs: Iterable[str], known: Iterable[str], location: Location | None
) -> None:
    for read in inputs:
        if read not in set(known):
            what, expected = unknown_name("source or transform", read, known)
            raise DeclarationError(
                f"{kind} {name!r} reads {read!r}: {what}", expected=expected, location=location
            )


def _digest(declarations: Iterable[object], folder: Path) -> str:
    return fingerprint.of_text(*(_canonical(d, folder) for d in declarations))


def _canonical(value: Any, folder: Path) -> str:
    """Return text that says what a declaration does, without where it stands."""
    if isinstance(value, Transform) and value.sql_file:
        value = dataclasses.replace(value, sql_file=(folder / value.sql_file).read_text())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [f.name for f in dataclasses.fields(value) if f.compare]
        inside = ", ".join(f"{f}={_canonical(getattr(value, f), folder)}" for f in fields)
        return f"{type(value).__name__}({inside})"
    if isinstance(value, Mapping):
        return repr({k: _canonical(v, folder) for k, v in value.items()})
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_canonical(v, folder) for v in value) + "]"
    if hasattr(value, "__code__"):
        return fingerprint.of_function(value)
    return repr(value)
