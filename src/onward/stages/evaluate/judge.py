"""The gates' answers: each a verdict, the figures behind it, and a reason in words."""

from __future__ import annotations

import warnings
from typing import Final

import numpy as np

from onward.core.estimator import predictions_of
from onward.core.records import GateResult, Metric
from onward.core.wording import counted
from onward.stages.evaluate.bootstrap import lower_bound
from onward.stages.evaluate.config import AtLeast, BeatsChampion, Fair, Gate, Robust
from onward.stages.evaluate.evidence import Evidence
from onward.stages.evaluate.metrics import metrics_of, standard

MINIMUM_ROWS: Final = 50  # below it a group's or a slice's figure says little


def judge(gate: Gate, evidence: Evidence) -> GateResult:
    """Answer one gate."""
    match gate:
        case AtLeast():
            return _at_least(gate, evidence)
        case BeatsChampion():
            return _beats_champion(gate, evidence)
        case Fair():
            return _fair(gate, evidence)
        case Robust():
            return _robust(gate, evidence)


def _at_least(gate: AtLeast, evidence: Evidence) -> GateResult:
    metric = metrics_of(evidence.challenger.task)[gate.metric]
    found = evidence.challenger.metric(gate.metric)
    sign = ">=" if metric.higher_is_better else "<="
    return GateResult(
        gate=f"at_least({gate.metric})",
        passed=metric.gain(found.value, gate.value) >= 0,
        reason=f"{said(found)}; needs {sign} {gate.value:g}",
        facts={"value": found.value, "low": found.low, "high": found.high, "limit": gate.value},
    )


def _beats_champion(gate: BeatsChampion, evidence: Evidence) -> GateResult:
    name = f"beats_champion({gate.metric})"
    challenger, champion = evidence.challenger, evidence.champion
    if champion is None:
        return GateResult(gate=name, passed=True, reason="there is no champion yet")
    metric = metrics_of(challenger.task)[gate.metric]
    mine, theirs = challenger.values[gate.metric], champion.values[gate.metric]
    gains = challenger.draws[gate.metric] - champion.draws[gate.metric]
    low = lower_bound(gains if metric.higher_is_better else -gains, gate.confidence)
    gain = metric.gain(mine, theirs)
    return GateResult(
        gate=name,
        passed=low > gate.margin,
        reason=f"{gate.metric} {figure(mine)} against {figure(theirs)} of {champion.ref} on the "
        f"same {counted(len(challenger.y), 'row')}: better by {figure(gain, signed=True)}, with "
        f"{gate.confidence:.0%} confidence by at least {figure(low, signed=True)}; "
        f"needs > {gate.margin:g}",
        facts={"challenger": mine, "champion": theirs, "gain": gain, "low": low},
    )


def _fair(gate: Fair, evidence: Evidence) -> GateResult:
    """Compare groups by Fairlearn's measures (Agarwal et al. 2018; Hardt et al. 2016)."""
    from fairlearn import metrics as fairlearn

    measures = {
        "selection_rate_ratio": fairlearn.demographic_parity_ratio,
        "selection_rate_difference": fairlearn.demographic_parity_difference,
        "equalized_odds_ratio": fairlearn.equalized_odds_ratio,
        "equalized_odds_difference": fairlearn.equalized_odds_difference,
    }
    name = f"fair({gate.column}, {gate.measure})"
    y, probabilities = evidence.challenger.y, evidence.challenger.predictions
    groups = group_names(evidence, gate.column)
    threshold = gate.threshold
    if threshold is None:
        threshold = float(np.quantile(probabilities, 1 - evidence.base_rate))
    selected = probabilities >= threshold
    kept, shares = _shares(groups, selected)
    if len(shares) < 2:
        return GateResult(
            gate=name,
            passed=True,
            reason=f"{len(shares)} groups of {gate.column} have {MINIMUM_ROWS} rows or more: "
            "nothing to compare",
        )
    with warnings.catch_warnings():  # a group without positives: the measure is NaN, said below
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(
            measures[gate.measure](y[kept], selected[kept], sensitive_features=groups[kept])
        )
    low, high = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    return GateResult(
        gate=name,
        passed=_within(value, gate.at_least, gate.at_most),
        reason=f"{gate.measure} {figure(value)} over {len(shares)} groups of {gate.column}: "
        f"{low} has {shares[low]:.1%} selected, {high} {shares[high]:.1%} "
        f"(probability >= {threshold:.3f}); needs {_limits(gate.at_least, gate.at_most)}",
        facts={"value": value if np.isfinite(value) else None, "threshold": threshold, **shares},
    )


def _robust(gate: Robust, evidence: Evidence) -> GateResult:
    challenger = evidence.challenger
    metric = metrics_of(challenger.task)[gate.metric or standard(challenger.task).name]
    numbers = challenger.x.select_dtypes("float64")
    noise = np.random.default_rng(0).normal(size=numbers.shape)
    noisy = challenger.x.assign(**(numbers + gate.noise * numbers.std().to_numpy() * noise))
    clean = challenger.values[metric.name]
    shaken = metric(challenger.y, predictions_of(challenger.estimator, noisy, challenger.task))
    drop = -metric.gain(shaken, clean)
    return GateResult(
        gate=f"robust({metric.name})",
        passed=drop <= gate.max_drop,
        reason=f"{metric.name} goes from {figure(clean)} to {figure(shaken)} with noise of "
        f"{gate.noise:g} standard deviations on {numbers.shape[1]} features: worse by "
        f"{figure(drop)}; needs <= {gate.max_drop:g}",
        facts={"clean": clean, "noisy": shaken, "drop": drop},
    )


def said(metric: Metric) -> str:
    """Return a metric in words: ``roc_auc 0.7121 [0.7054, 0.7188] on 61,204 rows``."""
    span = f"[{figure(metric.low)}, {figure(metric.high)}]"
    return f"{metric.name} {figure(metric.value)} {span} on {counted(metric.rows, 'row')}"


def figure(value: float, *, signed: bool = False) -> str:
    """Return a number with four decimals, or four digits where it is large."""
    sign = "+" if signed else ""
    return format(value, f"{sign}.4f" if abs(value) < 10 else f"{sign},.4g")


def group_names(evidence: Evidence, column: str) -> np.ndarray:
    """Return each row's value of a column as text, shape (n_rows,)."""
    values = evidence.rows[column].to_pylist()
    return np.array(["(missing)" if value is None else str(value) for value in values])


def _shares(groups: np.ndarray, selected: np.ndarray) -> tuple[np.ndarray, dict[str, float]]:
    """Return which rows are in groups large enough, and the share selected in each of those."""
    names, counts = np.unique(groups, return_counts=True)
    large = names[counts >= MINIMUM_ROWS]
    shares = {str(name): float(selected[groups == name].mean()) for name in large}
    return np.isin(groups, large), shares


def _within(value: float, at_least: float | None, at_most: float | None) -> bool:
    if not np.isfinite(value):
        return False
    return (at_least is None or value >= at_least) and (at_most is None or value <= at_most)


def _limits(at_least: float | None, at_most: float | None) -> str:
    limits = [(">=", at_least), ("<=", at_most)]
    return " and ".join(f"{sign} {limit:g}" for sign, limit in limits if limit is not None)
