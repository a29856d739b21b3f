"""The search: records in, candidate out; the trials run in a process of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onward.core import fingerprint
from onward.core.declarations import Model
from onward.core.errors import DeclarationError, OnwardError
from onward.core.ports import Compute, Tracker
from onward.core.records import Candidate, TrainingSetRef
from onward.stages.experiment.port import Returned, Score
from onward.stages.experiment.trials import Search, Trial, run_trials

TrialListener = Callable[[int, float | None], None]


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
    report: TrialListener | None = None,
) -> Candidate:
    """Search the declared ranges and return the parameters that validate best.

    The declared defaults are the first trial, so the choice validates no worse than they do.
    `report` hears each trial's number, from 0, and its score, None if it failed.

    Raises
    ------
    DeclarationError
        The model declares no ranges, or `trials` is no positive number.
    OnwardError
        Every trial failed; with the last one's reason.
    """
    _require_space(model, trials)
    space = Search(
        function=model.function,
        training=training,
        holdout=model.holdout,
        defaults=dict(model.parameters),
        space=dict(model.search),
        score=score,
        estimator_of=estimator_of,
        trials=trials,
    )
    made = compute.run(run_trials, space, name=f"search {model.name}")
    origin = f"search-{_digest(model, training, score, trials)}"
    for trial in made:
        _log(trial, model, training, score, tracker, run=run, origin=origin, commit=commit)
        if report is not None:
            report(trial.number, trial.score)
    best = _best(made, score, model)
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


def _best(made: Sequence[Trial], score: Score, model: Model) -> Trial:
    done = [(trial.score, trial) for trial in made if trial.score is not None]
    if not done:
        raise OnwardError(
            f"all {len(made)} trials of model {model.name!r} failed; the last: {made[-1].failure}",
            next_step="try the model's function in a notebook with one of these parameters: "
            f"{dict(made[-1].parameters)}",
            location=made[-1].location or model.location,
        )
    choose = max if score.higher_is_better else min
    return choose(done, key=lambda scored: scored[0])[1]


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
