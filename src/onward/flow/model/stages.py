"""Stages 5 to 8 in order: training set, candidate, fit, evaluation, registration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from onward.core.ports import Steps
from onward.core.records import (
    Candidate,
    EvaluationReport,
    ModelRef,
    RunRef,
    TrainingSetRef,
)
from onward.core.refs import ref
from onward.flow.data.stages import Refreshed
from onward.flow.happened import fact, happened
from onward.flow.model.masked import masked_columns
from onward.flow.pipeline.definition import Definition
from onward.flow.plans import plan_of, request_features_of
from onward.flow.release import releases
from onward.flow.site import Site
from onward.stages.evaluate.step import evaluate
from onward.stages.features.step import recompute, request_features, training_set
from onward.stages.register.step import register
from onward.stages.train.step import train


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How far the model stages came; `model` is None when a gate said no."""

    training: TrainingSetRef
    trained: RunRef
    champion: ModelRef | None
    evaluation: EvaluationReport | None = None
    model: ModelRef | None = None


def make_model(
    steps: Steps, site: Site, definition: Definition, refreshed: Refreshed, run: str
) -> Trained:
    """Train on what is known now, judge it against the champion, register it if it passes."""
    as_of = site.clock.now()
    training = steps("features training", _training_set, site, definition, refreshed, as_of, run)
    candidate = chosen(site, definition)
    trained = steps("train model", _train, site, definition, training, candidate, run)
    champion = steps("evaluate champion", _champion, site, definition.model)
    if champion is not None and _same(champion, trained):
        return Trained(training=training, trained=trained, champion=champion)
    report = steps("evaluate model", _evaluate, site, definition, trained, champion, run)
    model = (
        steps("register model", _register, site, trained, report, run) if report.passed else None
    )
    return Trained(
        training=training, trained=trained, champion=champion, evaluation=report, model=model
    )


def _same(champion: ModelRef, trained: RunRef) -> bool:
    """Whether training gave the champion again: from the same inputs, or with the same content."""
    return champion.trained == trained.ref or champion.digest == trained.digest


def _champion(site: Site, model: str) -> ModelRef | None:
    serving = releases.champion(site.ledger, model)
    return serving.model if serving else None


def chosen(site: Site, definition: Definition) -> Candidate:
    """Return the newest search's choice for this model's code, or the declared defaults."""
    model = definition.pipeline.model
    found = site.ledger.events(
        kind="candidate.chosen", subject=model.name, newest_first=True, limit=1
    )
    if found and found[0].event.facts["code"] == model.version:
        return fact(found[0], "candidate", Candidate)
    return Candidate(model=model.name, parameters=model.parameters, origin="defaults")


def build_training_set(
    site: Site, definition: Definition, refreshed: Refreshed, as_of: datetime
) -> TrainingSetRef:
    """Build the point-in-time training set as known at `as_of`."""
    model = definition.pipeline.model
    return training_set(
        model,
        views=refreshed.views,
        lake=site.lake,
        inputs={name: refreshed.datasets[name] for name in model.label.inputs},
        as_of=as_of,
        folder=site.folders.training,
        masked=masked_columns(definition, model.label),
        personal=definition.personal,
    )


def _training_set(
    site: Site, definition: Definition, refreshed: Refreshed, as_of: datetime, run: str
) -> TrainingSetRef:
    training = build_training_set(site, definition, refreshed, as_of)
    happened(
        site,
        "training.built",
        training.ref,
        key=f"{run}/{training.ref}",
        run=run,
        inputs=training.inputs,
        outputs=(training.ref,),
        rows=training.rows,
        left_out=training.left_out,
        first=training.first,
        last=training.last,
        as_of=training.as_of,
    )
    return training


def _train(
    site: Site, definition: Definition, training: TrainingSetRef, candidate: Candidate, run: str
) -> RunRef:
    model = definition.pipeline.model
    trained = train(
        model,
        training,
        candidate,
        request_features(model, training.plan),
        compute=site.compute,
        tracker=site.tracker,
        folder=site.folders.trained,
        commit=definition.commit,
        run=run,
    )
    commit = (ref("commit", trained.commit),) if trained.commit else ()
    happened(
        site,
        "model.trained",
        model.name,
        key=f"{run}/{trained.ref}",
        run=run,
        inputs=(training.ref, candidate.ref, *commit),
        outputs=(trained.ref,),
        trained=trained,
        parameters=candidate.parameters,
        seconds=0.0 if trained.kept else trained.seconds,
        digest=trained.digest,
        tracker_run=trained.tracker_run,
        commit=trained.commit,
    )
    return trained


def _evaluate(
    site: Site, definition: Definition, trained: RunRef, champion: ModelRef | None, run: str
) -> EvaluationReport:
    report = evaluate(
        trained,
        gates=definition.pipeline.gates,
        slices=definition.pipeline.model.slices,
        champion=champion,
        champion_rows=_champion_rows(site, trained.training, champion),
        compute=site.compute,
        tracker=site.tracker,
        run=run,
    )
    happened(
        site,
        "model.evaluated",
        report.model,
        key=f"{run}/{trained.ref}",
        run=run,
        inputs=(trained.ref, trained.training.ref, *((champion.ref,) if champion else ())),
        outputs=(report.ref,),
        report=report,
    )
    return report


def _champion_rows(
    site: Site, training: TrainingSetRef, champion: ModelRef | None
) -> TrainingSetRef | None:
    """Return the same rows with the champion's features, where its plan is another one."""
    if champion is None:
        return None
    plan = plan_of(champion)
    if plan == training.plan:
        return None
    features = request_features_of(champion)
    return recompute(training, plan, features, lake=site.lake, folder=site.folders.training)


def _register(site: Site, trained: RunRef, report: EvaluationReport, run: str) -> ModelRef:
    model = register(
        trained,
        report,
        registry=site.registry,
        folder=site.folders.cards,
        run=run,
        clock=site.clock,
    )
    happened(
        site,
        "model.registered",
        model.name,
        key=model.ref,
        run=run,
        inputs=(trained.ref, report.ref),
        outputs=(model.ref,),
        model=model,
    )
    return model
