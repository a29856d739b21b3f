"""Features as a team looks for them: what there is, who reads it, how fresh it is, is it right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from onward.core.errors import NotFoundError, unknown_name
from onward.core.records import Column, Materialized, OnMissing, OnStale, SkewReport, ViewPlan
from onward.core.refs import parse_ref

if TYPE_CHECKING:
    from onward.app.project import Project
    from onward.core.ports import Ledger
    from onward.flow.data.features import Freshness, Read
    from onward.stages.features.config import FeatureView


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A published version of a view.

    `reads` are the snapshots that its newest rows were made from, `models` the registered versions
    that were trained on it, `mark` how far it is online; `current` says that it is what the
    pipeline file declares.
    """

    ref: str
    current: bool
    rows: int
    published_at: datetime
    columns: tuple[Column, ...]
    reads: tuple[str, ...]
    models: tuple[str, ...]
    mark: Materialized | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A declared view with what is said of it, and its versions, the newest first.

    `read_by` are the on-demand functions that read features of it.
    """

    kind: Literal["view"] = "view"
    name: str
    description: str
    owner: str
    tags: tuple[str, ...]
    entity: tuple[str, ...]
    inputs: tuple[str, ...]
    ttl_s: float | None
    on_missing: OnMissing
    on_stale: OnStale
    defaults: Mapping[str, float | str]
    declared_at: str
    versions: tuple[Version, ...]
    read_by: tuple[str, ...]

    @property
    def current(self) -> Version | None:
        return next((version for version in self.versions if version.current), None)


def features(project: Project, text: str = "") -> Sequence[View]:
    """Return the views in whose name, words, columns or tags `text` stands; all of them without."""
    found = [_view(project, view) for view in project.definition.views]
    return [view for view in found if text.lower() in " ".join(_words(view)).lower()]


def feature_view(project: Project, name: str) -> View:
    """Return one view.

    Raises
    ------
    NotFoundError
        The pipeline reads no such view.
    """
    functions = [function.name for function in project.definition.on_demand]
    return _view(project, _declared(project, name, *functions))


def status(project: Project) -> Sequence[Freshness]:
    """Return how fresh each version is that the pipeline, the champion or a candidate reads."""
    from onward.flow.data.features import freshness

    return freshness(project.site, project.definition)


def materialize(
    project: Project, name: str | None = None, *, full: bool = False
) -> Sequence[tuple[Read, int]]:
    """Write what is not online yet; return the rows that were newer, by version.

    Raises
    ------
    NotFoundError
        There is no such view.
    UnavailableError
        The online store does not answer.
    """
    from onward.flow.data.features import keep_online

    if name is not None:
        _declared(project, name)
    return keep_online(project.site, project.definition, view=name, full=full)


def audit(project: Project, *, sample: float, since: timedelta) -> Sequence[SkewReport]:
    """Compute the vectors again that were served since then, of each version that answered.

    Raises
    ------
    NotFoundError
        A view that a version reads is no longer in the lake.
    """
    from onward.flow.release.observe import bring_in
    from onward.flow.release.versions import version_of
    from onward.flow.run.skew import audit as audited

    site, model, now = project.site, project.definition.model, project.clock.now()
    table = bring_in(site)
    window = (now - since, now)
    if table is None:
        return []
    with site.lake.open({"predictions": table}) as backend:
        answered = backend.raw_sql(
            """SELECT DISTINCT version FROM predictions
               WHERE model = $1 AND "at" >= $2 AND "at" < $3 ORDER BY version""",
            parameters=[model, *window],
        ).fetchall()
    return [
        audited(site, version_of(site.ledger, model, version), table, window, sample=sample)
        for (version,) in answered
    ]


def _declared(project: Project, name: str, *others: str) -> FeatureView:
    """Return a view; `others` are names that may have been meant as well."""
    named = {view.name: view for view in project.definition.views}
    if name not in named:
        what, expected = unknown_name("feature view", name, (*named, *others))
        raise NotFoundError(what, expected=expected, next_step="`onward features` lists them")
    return named[name]


def _view(project: Project, view: FeatureView) -> View:
    return View(
        name=view.name,
        description=view.description,
        owner=view.owner,
        tags=view.tags,
        entity=view.entity,
        inputs=view.inputs,
        ttl_s=None if view.ttl is None else view.ttl.total_seconds(),
        on_missing=view.on_missing,
        on_stale=view.on_stale,
        defaults=view.defaults,
        declared_at=str(view.location or ""),
        versions=tuple(_versions(project, view)),
        read_by=tuple(f.name for f in project.definition.on_demand if f.read_of(view.name)),
    )


def _versions(project: Project, view: FeatureView) -> Iterator[Version]:
    from onward.stages.features.step import columns_of, current_version, table_of, versions_of

    site = project.site
    current = current_version(view, site.lake)
    for number, found in versions_of(view.name, site.lake).items():
        columns = columns_of(view.name, site.lake, number)
        plan = ViewPlan(
            name=view.name, version=number, table=table_of(view.name, number),
            entity=view.entity, columns=tuple(column.name for column in columns),
        )  # fmt: skip
        yield Version(
            ref=plan.ref,
            current=current is not None and current.version == number,
            rows=found.snapshot.rows,
            published_at=found.snapshot.at,
            columns=columns,
            reads=tuple(found.inputs.split(",")),
            models=tuple(models_on(project.ledger, plan.ref)),
            mark=site.online.mark(plan),
        )


def models_on(ledger: Ledger, view: str) -> Sequence[str]:
    """Return the registered model versions that were trained on a view's version, by the ledger."""
    found = [view]
    for kind in ("training", "trained", "model"):
        found = [
            made
            for source in found
            for told in ledger.consuming(source)
            for made in told.event.outputs
            if parse_ref(made).kind == kind
        ]
        found = list(dict.fromkeys(found))
    return found


def _words(view: View) -> Iterator[str]:
    yield from (view.name, view.description, view.owner, *view.tags, *view.entity, *view.inputs)
    current = view.current or (view.versions[0] if view.versions else None)
    if current is not None:
        yield from (column.name for column in current.columns)
