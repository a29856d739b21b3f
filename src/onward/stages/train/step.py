"""Training: records in, record out; the fit itself is in a process of its own."""

from __future__ import annotations

from pathlib import Path

from onward.core.declarations import Model
from onward.core.ports import Compute, RequestFeatures, Tracker
from onward.core.records import Candidate, RunRef, TrainingSetRef
from onward.stages.train.fit import Fit, fit
from onward.stages.train.source import source_of


def train(
    model: Model,
    training: TrainingSetRef,
    candidate: Candidate,
    request_features: RequestFeatures,
    *,
    compute: Compute,
    tracker: Tracker,
    folder: Path,
    commit: str | None,
    run: str,
) -> RunRef:
    """Fit the candidate and keep the result under `folder`, named by what went into it.

    The same inputs give the same folder, bytes and all; one that is there and whole is not
    fitted again, and keeps the commit at which it was. The tracker's run is logged once per
    (run, inputs).

    Raises
    ------
    DeclarationError
        The model's function returned nothing that can predict as its task needs.
    DataError
        Labels do not fit the task, or the rows cannot be split by time.
    OnwardError
        The model's function raised; with the line in the user's file.
    """
    job = Fit(
        model=model.name,
        function=model.function,
        version=model.version,
        features_version=request_features.version,
        location=model.location,
        training=training,
        task=model.task,
        runtime=model.runtime,
        holdout=model.holdout,
        parameters=dict(candidate.parameters),
        request_features=request_features,
        source=source_of(model.function),
        commit=commit,
        folder=folder.resolve(),
    )
    fitted = compute.run(fit, job, name=f"train {model.name}")
    tracked = tracker.log_run(
        experiment=model.name,
        name=f"train {fitted.id}",
        key=f"{run}/train/{fitted.id}",
        parameters=candidate.parameters,
        metrics={
            "fit_seconds": fitted.seconds,
            "train_rows": fitted.train_rows,
            "holdout_rows": fitted.holdout_rows,
        },
        tags={
            "onward.stage": "train",
            "onward.run": run,
            "onward.training": training.ref,
            "onward.snapshots": " ".join(training.inputs),
            "onward.candidate": candidate.ref,
            "onward.commit": fitted.commit or "",
            "onward.digest": fitted.digest,
        },
        artifacts=Path(fitted.path),
    )
    return RunRef(
        id=fitted.id,
        model=model.name,
        path=fitted.path,
        digest=fitted.digest,
        training=training,
        candidate=candidate,
        holdout_from=fitted.holdout_from,
        commit=fitted.commit,
        tracker_run=tracked,
        seconds=fitted.seconds,
        kept=fitted.kept,
    )
