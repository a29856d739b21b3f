"""Stage 5 on its own: a search on the data that is known now; its choice is what runs train."""

from __future__ import annotations

from pathlib import Path

from onward.core.errors import OnwardError
from onward.core.ports import Steps
from onward.core.records import Candidate, TrainingSetRef
from onward.flow.data.stages import refresh
from onward.flow.happened import happened
from onward.flow.model.stages import build_training_set
from onward.flow.pipeline.definition import Definition
from onward.flow.site import Site
from onward.stages.evaluate.metrics import standard
from onward.stages.experiment.step import search
from onward.stages.train.returned import estimator_of


def experiment(
    steps: Steps,
    site: Site,
    definition: Definition,
    *,
    run: str,
    trials: int,
) -> Candidate:
    """Search the model's hyperparameters and record the choice.

    Raises
    ------
    DataError
        A batch rule holds data back.
    """
    refreshed = refresh(steps, site, definition, run)
    if refreshed.held:
        raise OnwardError(
            f"{refreshed.held[0].dataset} is held back by a batch rule",
            next_step="`onward quarantine` shows it; mend the data or the rule first",
        )
    training = steps(
        "features training", build_training_set, site, definition, refreshed, site.clock.now()
    )
    return steps("experiment search", _search, site, definition, training, run, trials)


def told_of(site: Site, run: str) -> Path:
    """Return the file that says how far a search is."""
    return site.folders.searches / f"{run}.json"


def _search(
    site: Site,
    definition: Definition,
    training: TrainingSetRef,
    run: str,
    trials: int,
) -> Candidate:
    model = definition.pipeline.model
    candidate = search(
        model,
        training,
        score=standard(model.task),
        estimator_of=estimator_of,
        compute=site.compute,
        tracker=site.tracker,
        trials=trials,
        run=run,
        commit=definition.commit,
        told=told_of(site, run),
    )
    happened(
        site,
        "candidate.chosen",
        model.name,
        key=f"{run}/{candidate.ref}",
        run=run,
        inputs=(training.ref,),
        outputs=(candidate.ref,),
        candidate=candidate,
        code=model.version,
    )
    return candidate
