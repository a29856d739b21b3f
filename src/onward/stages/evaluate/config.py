"""What a user declares about promotion: the gates that a challenger must pass."""

from __future__ import annotations

from dataclasses import dataclass, field

from onward.core.declared import here
from onward.core.errors import DeclarationError, Location


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLeast:
    """The metric is at least `value` (at most, for an error such as ``rmse``)."""

    metric: str
    value: float
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatsChampion:
    """Better than the champion on the same held-out rows.

    The paired bootstrap's lower bound on the improvement must exceed `margin`: 0 asks for a
    difference that is sure, a negative margin for one that is surely no worse than that.
    """

    metric: str
    margin: float
    confidence: float
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fair:
    """A fairness measure over the groups of a request column, by Fairlearn."""

    column: str
    measure: str
    at_least: float | None
    at_most: float | None
    threshold: float | None
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Robust:
    """The metric falls by no more than `max_drop` when numeric features get Gaussian noise of
    `noise` standard deviations.
    """

    metric: str | None
    noise: float
    max_drop: float
    location: Location | None = field(default=None, compare=False)


Gate = AtLeast | BeatsChampion | Fair | Robust


def at_least(metric: str, value: float) -> AtLeast:
    """The metric reaches `value`."""
    return AtLeast(metric=metric, value=value, location=here())


def beats_champion(metric: str, *, margin: float = 0.0, confidence: float = 0.95) -> BeatsChampion:
    """The challenger beats the champion by more than `margin`, with `confidence`."""
    location = here()
    if not 0.5 <= confidence < 1:
        raise DeclarationError(
            f"confidence is {confidence}",
            expected="a share from 0.5 to below 1, such as 0.95",
            location=location,
        )
    return BeatsChampion(metric=metric, margin=margin, confidence=confidence, location=location)


def fair(
    column: str,
    measure: str = "selection_rate_ratio",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    threshold: float | None = None,
) -> Fair:
    """Groups of `column` are treated alike by `measure`.

    Measures: ``selection_rate_ratio``, ``selection_rate_difference``,
    ``equalized_odds_difference``, ``equalized_odds_ratio``. `threshold` is the probability from
    which on a row counts as selected; unless given, the one that selects the share of rows that
    are of class 1 in training. Groups of fewer than 50 rows are left out.
    """
    location = here()
    if at_least is None and at_most is None:
        raise DeclarationError(
            f"fairness over {column!r} has no bound",
            expected="at_least=... for a ratio, at_most=... for a difference",
            location=location,
        )
    return Fair(
        column=column, measure=measure, at_least=at_least, at_most=at_most,
        threshold=threshold, location=location,
    )  # fmt: skip


def robust(*, noise: float = 0.05, max_drop: float = 0.02, metric: str | None = None) -> Robust:
    """Noise on the inputs costs no more than `max_drop` of the metric."""
    location = here()
    if noise <= 0 or max_drop < 0:
        raise DeclarationError(
            f"noise is {noise}, max_drop {max_drop}",
            expected="noise above 0, in standard deviations, and max_drop of 0 or more",
            location=location,
        )
    return Robust(metric=metric, noise=noise, max_drop=max_drop, location=location)
