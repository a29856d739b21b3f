"""Windowed views as time passes: rows leave their windows although nothing new comes."""

from __future__ import annotations

from onward.core.records import FeatureSetRef
from onward.flow.data.stages import publish_view
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site
from onward.stages.features.step import behind


def catch_up(site: Site, definition: Definition) -> tuple[FeatureSetRef, ...]:
    """Publish the windowed views of which a moment has come since they were last published."""
    now = site.clock.now()
    waiting = [view for view in definition.views if behind(view, lake=site.lake, now=now)]
    datasets = {
        name: site.lake.dataset(definition.table(name)) for view in waiting for name in view.inputs
    }
    run = f"windows-{now:%Y%m%d-%H%M%S}"
    return tuple(publish_view(site, view, datasets, run) for view in waiting)
