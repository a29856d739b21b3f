"""What stands in for a row that is missing or stale: declared, versioned, and in training sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from flight_shop import DAY, START, Shop, flights
from ibis import _

import onward as ow
from onward.core.declarations import Model
from onward.core.errors import DataError, DeclarationError
from onward.core.records import TrainingSetRef
from onward.stages.features.config import FeatureView
from onward.stages.features.step import recompute, request_features, training_set

LATE = flights(
    ("UA", 0, 1, 1.0), ("UA", 10, 11, 2.0), ("AA", 9, 9, 3.0), ("UA", 20, 21, 4.0),
    ("XX", 20, 21, 5.0),
)  # fmt: skip
"""On day 10 UA's newest known row is ten days old, on day 20 again; AA's is fresh; XX has none."""


def view(**policy: Any) -> FeatureView:
    @ow.feature_view(entity="carrier", ttl="5d", **policy)
    def delays(flights):
        """Delays, as they come in.

        The rest of the docstring is for those who read the code.
        """
        return flights.select(
            "carrier", event_time=_.at, available_at=_.known, delay=_.delay, word=_.carrier
        )

    found: FeatureView = delays
    return found


def model(of: FeatureView) -> Model:
    @ow.label(key="n", event_time="at", available_at="known")
    def late(flights):
        chosen = flights.filter(_.delay > 1.0)
        return chosen.select("at", "known", "carrier", n=_.delay, late=_.delay > 2.0)

    @ow.model(features=[of], label=late, task="binary")
    def guess(X, y):
        return None

    found: Model = guess
    return found


def trained(shop: Shop, folder: Path, **policy: Any) -> TrainingSetRef:
    of = model(view(**policy))
    published = shop.publish(of.features[0], LATE, day=30)
    return training_set(
        of, views={"delays": published}, lake=shop.lake,
        inputs={"flights": shop.lake.dataset("raw.flights")}, as_of=START + 30 * DAY, folder=folder,
    )  # fmt: skip


def rows(training: TrainingSetRef) -> list[tuple[Any, ...]]:
    """Rows of (label row's number, delay, word)."""
    table = pq.read_table(training.path)
    return sorted(
        zip(*(table[c].to_pylist() for c in ("n", "delays__delay", "delays__word")), strict=True)
    )


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, [(2.0, None, None), (3.0, 3.0, "AA"), (4.0, None, None), (5.0, None, None)]),
        (
            {"on_stale": "last"},
            [(2.0, 1.0, "UA"), (3.0, 3.0, "AA"), (4.0, 2.0, "UA"), (5.0, None, None)],
        ),
        (
            {"on_missing": "default", "defaults": {"delay": 7}},
            [(2.0, 7.0, None), (3.0, 3.0, "AA"), (4.0, 7.0, None), (5.0, 7.0, None)],
        ),
        (
            {"on_missing": "default", "on_stale": "null", "defaults": {"word": "o'clock"}},
            [(2.0, None, None), (3.0, 3.0, "AA"), (4.0, None, None), (5.0, None, "o'clock")],
        ),
        ({"on_missing": "error"}, [(3.0, 3.0, "AA")]),
        ({"on_missing": "error", "on_stale": "last"},
         [(2.0, 1.0, "UA"), (3.0, 3.0, "AA"), (4.0, 2.0, "UA")]),
        ({"on_stale": "error"}, [(3.0, 3.0, "AA"), (5.0, None, None)]),
    ],
)  # fmt: skip
def test_a_training_row_gets_what_a_request_would_have_got(
    shop: Shop, tmp_path: Path, policy: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    training = trained(shop, tmp_path / "training", **policy)
    assert rows(training) == expected
    assert (training.rows, training.left_out) == (len(expected), 4 - len(expected))


def test_a_policy_that_refuses_every_row_is_told(shop: Shop, tmp_path: Path) -> None:
    of = model(view(on_missing="error"))
    published = shop.publish(of.features[0], flights(("UA", 0, 1, 1.0)), day=29)
    shop.clock.advance(START + 30 * DAY)
    inputs = shop.holds(flights(("ZZ", 3, 3, 9.0), ("YY", 3, 3, 8.0)))
    with pytest.raises(DataError, match="each of the 2 labelled rows lacks features"):
        training_set(
            of, views={"delays": published}, lake=shop.lake, inputs=inputs,
            as_of=START + 30 * DAY, folder=tmp_path / "training",
        )  # fmt: skip


def test_another_models_policy_leaves_no_row_out_of_a_comparison(
    shop: Shop, tmp_path: Path
) -> None:
    strict = model(view(on_missing="error"))
    plan = trained(shop, tmp_path / "training", on_missing="error").plan
    ours = trained(shop, tmp_path / "training")
    found = recompute(
        ours, plan, request_features(strict, plan), lake=shop.lake, folder=tmp_path / "training"
    )
    assert rows(found) == rows(ours)


def test_a_policy_is_part_of_the_version_and_words_about_it_are_not(shop: Shop) -> None:
    assert shop.publish(view(), LATE, day=30).ref == "features:delays@1"
    told = view(owner="ops", tags=["air"], description="how late")
    assert shop.publish(told, LATE, day=31).ref == "features:delays@1"
    last = shop.publish(view(on_stale="last"), LATE, day=32)
    assert last.ref == "features:delays@2"
    assert (last.view.on_missing, last.view.on_stale) == ("null", "last")
    filled = shop.publish(view(on_missing="default", defaults={"word": "?"}), LATE, day=33)
    assert (filled.ref, filled.view.defaults) == ("features:delays@3", (None, "?"))


def test_a_view_is_described_by_its_docstring_unless_told() -> None:
    assert view().description == "Delays, as they come in."
    told = view(description="how late", owner="ops", tags="air")
    assert (told.description, told.owner, told.tags) == ("how late", "ops", ("air",))


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"on_missing": "nul"}, "did you mean 'null'"),
        ({"on_missing": "last"}, "on_stale='last': an entity without a row has no last one"),
        ({"on_stale": "lost"}, "did you mean 'last'"),
        ({"on_missing": "default"}, "it has no defaults to read"),
        ({"defaults": {"delay": 1.0}}, "no policy reads its defaults"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(policy: dict[str, Any], says: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        view(**policy)
    assert says in str(caught.value)
    assert "test_policies.py" in str(caught.value)


def test_without_a_time_to_live_nothing_is_stale() -> None:
    with pytest.raises(DeclarationError, match="no row is ever stale"):

        @ow.feature_view(entity="carrier", on_stale="last")
        def delays(flights):
            return flights


@pytest.mark.parametrize(
    ("defaults", "says"),
    [
        ({"dely": 1.0}, "did you mean 'delay'"),
        ({"delay": "seven"}, "the default of feature 'delay' of view 'delays' is 'seven'"),
        ({"word": 7}, "text"),
    ],
)
def test_a_default_that_fits_no_feature_is_refused_before_anything_is_published(
    shop: Shop, defaults: dict[str, Any], says: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        shop.publish(view(on_missing="default", defaults=defaults), LATE, day=30)
    assert says in str(caught.value)
    assert "features.delays_v1" not in shop.lake.tables()
