"""Stages 1 to 4 in order: new rows in, audited, derived tables and features brought up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onward.core.errors import DataError, NotFoundError
from onward.core.ports import Steps
from onward.core.records import (
    DatasetRef,
    FeatureSetRef,
    ValidationReport,
)
from onward.core.refs import ref
from onward.flow.data.ingest import take_in
from onward.flow.data.transforms import derive_tables
from onward.flow.happened import happened, timed
from onward.flow.pipeline.definition import Definition
from onward.flow.pipeline.fit import require_published
from onward.flow.site import Site
from onward.stages.features.config import FeatureView
from onward.stages.features.step import publish
from onward.stages.ingest.config import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """The data after a refresh: published datasets by name, feature views, and the audits."""

    datasets: Mapping[str, DatasetRef]
    views: Mapping[str, FeatureSetRef]
    audits: tuple[ValidationReport, ...]

    @property
    def held(self) -> tuple[ValidationReport, ...]:
        return tuple(a for a in self.audits if a.held)


def refresh(steps: Steps, site: Site, definition: Definition, run: str) -> Refreshed:
    """Take every source, transform and feature view up to now.

    A source whose batch is held keeps its last published snapshot; the rest goes on.

    Raises
    ------
    DeclarationError
        A declaration names a column that the data do not have.
    """
    require_published(site, definition)
    audits = [
        report
        for source in definition.sources.values()
        if (report := take_in(steps, site, definition, source, run)) is not None
    ]
    datasets = {name: _published(site, source) for name, source in definition.sources.items()}
    derived = derive_tables(steps, site, definition, datasets, run)
    views = {
        view.name: steps(f"features {view.name}", publish_view, site, view, derived.datasets, run)
        for view in definition.views
    }
    return Refreshed(datasets=derived.datasets, views=views, audits=(*audits, *derived.audits))


def published(site: Site, definition: Definition) -> Mapping[str, DatasetRef]:
    """Return the sources that have published rows, as they stand."""
    return {
        name: site.lake.dataset(source.table)
        for name, source in definition.sources.items()
        if site.lake.head(source.table) is not None
    }


def publish_view(
    site: Site, view: FeatureView, datasets: Mapping[str, DatasetRef], run: str
) -> FeatureSetRef:
    """Bring a view up to the datasets that it reads, in the lake and online."""
    read = {name: datasets[name] for name in view.inputs}
    published, seconds = timed(
        publish, view, lake=site.lake, online=site.online, inputs=read, run=run, clock=site.clock
    )
    snapshot = ref("snapshot", published.view.table, published.snapshot)
    happened(
        site,
        "features.published",
        published.ref,
        key=f"{run}/{published.ref}",
        run=run,
        inputs=[d.ref for d in read.values()],
        outputs=(published.ref, snapshot) if published.snapshot is not None else (published.ref,),
        rows=published.rows_added,
        online=published.online_written,
        seconds=seconds,
    )
    return published


def _published(site: Site, source: Source) -> DatasetRef:
    try:
        return site.lake.dataset(source.table)
    except NotFoundError:
        raise DataError(
            f"source {source.name!r} has no published rows",
            expected=f"data where it reads: {source.origin}",
            next_step="put the data there, or see what was held back: `onward quarantine`",
            location=source.location,
        ) from None
