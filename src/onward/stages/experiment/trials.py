"""The trials, as they run one after another in the child process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onward.core.declarations import SearchDimension
from onward.core.declared import of_exception
from onward.core.errors import Location
from onward.core.estimator import (
    classes_of,
    encoded,
    features_of,
    holdout_start,
    labels_of,
    predictions_of,
)
from onward.core.records import TrainingSetRef
from onward.stages.experiment.port import Returned, Score
from onward.stages.experiment.progress import Progress, tell

if TYPE_CHECKING:
    import optuna
    import pandas as pd

VALIDATION = 0.2  # of the rows before the hold-out, the newest


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All that the trials depend on, and the file that says how far they are."""

    function: Callable[..., Any]
    training: TrainingSetRef
    holdout: float
    defaults: Mapping[str, Any]
    space: Mapping[str, SearchDimension]
    score: Score
    estimator_of: Returned
    trials: int
    told: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One trial; `score` is None if it failed, with the reason in `failure`."""

    number: int
    parameters: Mapping[str, Any]
    score: float | None
    seconds: float
    failure: str = ""
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to fit on, and the newer ones to score on."""

    x: pd.DataFrame
    y: pd.Series
    new_x: pd.DataFrame
    new_y: pd.Series


def run_trials(search: Search) -> tuple[Trial, ...]:
    """Run every trial and return them in order.

    Optuna's TPE (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization") suggests
    parameters; it is seeded, and asked again only once it has been told how the last ones did.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if search.score.higher_is_better else "minimize",
        sampler=optuna.samplers.TPESampler(seed=0),
    )
    study.enqueue_trial(_within_space(search), skip_if_exists=True)
    rows = _rows(search)
    made: list[Trial] = []
    for number in range(search.trials):
        asked = study.ask()
        suggested = {name: _suggest(asked, name, d) for name, d in search.space.items()}
        trial = _run(number, {**search.defaults, **suggested}, search, rows)
        if trial.score is None:
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(asked, trial.score)
        made.append(trial)
        best = best_of(made, search.score)
        tell(search.told, Progress(done=len(made), best=best.score if best else None))
    return tuple(made)


def best_of(made: Sequence[Trial], score: Score) -> Trial | None:
    """Return the trial with the best score, the first of equals; None if all failed."""
    done = [trial for trial in made if trial.score is not None]
    sign = 1 if score.higher_is_better else -1
    return max(done, key=lambda trial: sign * (trial.score or 0.0), default=None)


def _run(number: int, parameters: Mapping[str, Any], search: Search, rows: Rows) -> Trial:
    begun = time.perf_counter()
    try:
        score = _score(parameters, search, rows)
    except Exception as error:
        return Trial(
            number=number,
            parameters=parameters,
            score=None,
            seconds=time.perf_counter() - begun,
            failure=f"{type(error).__name__}: {error}",
            location=of_exception(error),
        )
    return Trial(
        number=number, parameters=parameters, score=score, seconds=time.perf_counter() - begun
    )


def _score(parameters: Mapping[str, Any], search: Search, rows: Rows) -> float:
    task = search.training.task
    estimator = search.estimator_of(search.function(rows.x, rows.y, **parameters), rows.y, task)
    y = encoded(rows.new_y, classes_of(estimator, task))
    score = search.score(y, predictions_of(estimator, rows.new_x, task))
    if score != score:  # NaN
        raise ValueError(f"{search.score.name} is not defined on the {len(y):,} validation rows")
    return score


def _rows(search: Search) -> Rows:
    """Read the rows before the hold-out, the newest fifth of them to score on."""
    import pyarrow.parquet as pq

    training = search.training
    table = pq.read_table(training.path)
    times = table.column("event_time").to_numpy()
    times = times[: holdout_start(times, search.holdout)]
    table, start = table.slice(0, len(times)), holdout_start(times, VALIDATION)
    x = features_of(table, training.plan)
    y = labels_of(table, training.task, training.label)
    return Rows(x=x[:start], y=y[:start], new_x=x[start:], new_y=y[start:])


def _suggest(trial: optuna.Trial, name: str, dimension: SearchDimension) -> Any:
    """Ask for a value; a choice is asked for by its index, so that it may be any object."""
    match dimension.kind:
        case "integer":
            return trial.suggest_int(
                name, int(dimension.low), int(dimension.high), log=dimension.log
            )
        case "real":
            return trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log)
        case "categorical":
            index = trial.suggest_categorical(name, range(len(dimension.choices)))
            return dimension.choices[index]


def _within_space(search: Search) -> dict[str, Any]:
    """Return the declared defaults as far as they lie in their ranges, as Optuna knows them."""
    found = {}
    for name, dimension in search.space.items():
        default = search.defaults[name]
        if dimension.kind == "categorical":
            if default in dimension.choices:
                found[name] = dimension.choices.index(default)
        elif dimension.low <= default <= dimension.high:
            found[name] = default
    return found
