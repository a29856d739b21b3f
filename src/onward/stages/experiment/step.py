"""The search: records in, candidate out; the trials run in a process of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from onward.core import fingerprint
from onward.core.declarations import Model
from onward.core.errors import DeclarationError, OnwardError
from onward.core.ports import Compute, Tracker
from onward.core.records import Candidate, TrainingSetRef
from onward.stages.experiment.port import Returned, Score
from onward.stages.experiment.progress import Progress, tell
from onward.stages.experiment.trials import Search, Trial, best_of, run_trials


def search(
    model: Model,
    training: TrainingSetRef,
    *,
    score: Score,
    estimator_of: Returned,
    compute: Compute,
    tracker: Tracker,
    trials: int,
    run: str,
    commit: str | None,
    told: Path,
) -> Candidate:
    """Search the declared ranges and return the parameters that validate best.

    The declared defaults are the first trial, so the choice validates no worse than they do.
    The file `told` says after each trial how far the search is (`progress.look`).

    Raises
    ------
    DeclarationError
        The model declares no ranges, or `trials` is no positive number.
    OnwardError
        Every trial failed; with the last one's reason.
    """
    _require_space(model, trials)
    told.parent.mkdir(parents=True, exist_ok=True)
    tell(told, Progress())
    space = Search(
        function=model.function,
        training=training,
        holdout=model.holdout,
        defaults=dict(model.parameters),
        space=dict(model.search),
        score=score,
        estimator_of=estimator_of,
        trials=trials,
        told=told,
    )
    made = compute.run(run_trials, space, name=f"search {model.name}")
    origin = f"search-{_digest(model, training, score, trials)}"
    for trial in made:
        _log(trial, model, training, score, tracker, run=run, origin=origin, commit=commit)
    best = best_of(made, score)
    if best is None:
        raise _failed(made, model)
    return Candidate(
        model=model.name,
        parameters=best.parameters,
        origin=origin,
        trials=len(made),
        score=best.score,
    )


def _require_space(model: Model, trials: int) -> None:
    if not model.search:
        known = ", ".join(model.parameters) or "max_depth"
        raise DeclarationError(
            f"model {model.name!r} declares nothing to search",
            expected=f"@ow.model(..., search={{'{known.split(', ')[0]}': ow.integer(2, 10)}}); "
            f"its hyperparameters are: {', '.join(model.parameters) or '(none)'}",
            location=model.location,
        )
    if trials < 1:
        raise DeclarationError(f"{trials} trials were asked for", expected="1 or more")


def _digest(model: Model, training: TrainingSetRef, score: Score, trials: int) -> str:
    space = sorted(model.search.items())
    return fingerprint.of_text(model.version, training.id, space, score.name, trials)


def _failed(made: Sequence[Trial], model: Model) -> OnwardError:
    return OnwardError(
        f"all {len(made)} trials of model {model.name!r} failed; the last: {made[-1].failure}",
        next_step="try the model's function in a notebook with one of these parameters: "
        f"{dict(made[-1].parameters)}",
        location=made[-1].location or model.location,
    )


def _log(
    trial: Trial,
    model: Model,
    training: TrainingSetRef,
    score: Score,
    tracker: Tracker,
    *,
    run: str,
    origin: str,
    commit: str | None,
) -> None:
    scored = {} if trial.score is None else {score.name: trial.score}
    tracker.log_run(
        experiment=model.name,
        name=f"trial {trial.number}",
        key=f"{run}/experiment/{origin}/{trial.number}",
        parameters=trial.parameters,
        metrics={**scored, "fit_seconds": trial.seconds},
        tags={
            "onward.stage": "experiment",
            "onward.run": run,
            "onward.training": training.ref,
            "onward.snapshots": " ".join(training.inputs),
            "onward.code": model.version,
            "onward.commit": commit or "",
            "onward.failure": trial.failure,
        },
    )
