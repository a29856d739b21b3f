"""On-demand functions that read features of views beside the request."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from flight_shop import DAY, START, Shop, flights
from ibis import _

import onward as ow
from onward.core.declarations import Model
from onward.core.errors import DataError, DeclarationError
from onward.core.records import Column, TrainingSetRef
from onward.stages.features.config import FeatureView
from onward.stages.features.on_demand import OnDemand, require_no_view, views_of
from onward.stages.features.plan import on_demand
from onward.stages.features.step import recompute, request_features, training_set, vectors

ROWS = flights(
    ("UA", 0, 1, 1.0), ("UA", 10, 11, 2.0), ("AA", 9, 9, 3.0), ("UA", 12, 13, 4.0),
    ("XX", 20, 21, 5.0),
)  # fmt: skip


def view(**policy: Any) -> FeatureView:
    @ow.feature_view(entity="carrier", ttl="5d", **policy)
    def delays(flights):
        return flights.select(
            "carrier", event_time=_.at, available_at=_.known, delay=_.delay, late=_.delay > 2.5,
            word=_.carrier.lower(),
        )  # fmt: skip

    found: FeatureView = delays
    return found


def excess(n, delays__delay, delays__word):
    return {"excess": n - delays__delay, "known": delays__delay.notna(), "who": delays__word}


def model(*features: Any) -> Model:
    @ow.label(key="n", event_time="at", available_at="known")
    def late(flights):
        chosen = flights.filter(_.delay > 1.0)
        return chosen.select("at", "known", "carrier", n=_.delay, late=_.delay > 2.0)

    @ow.model(features=list(features), label=late, task="binary")
    def guess(X, y):
        return None

    found: Model = guess
    return found


def trained(shop: Shop, folder: Path, of: Model) -> TrainingSetRef:
    read = views_of(of.features)
    published = {one.name: shop.publish(one, ROWS, day=30) for one in read}
    return training_set(
        of, views=published, lake=shop.lake, inputs={"flights": shop.lake.dataset("raw.flights")},
        as_of=START + 30 * DAY, folder=folder,
    )  # fmt: skip


def rows(training: TrainingSetRef, *columns: str) -> list[tuple[Any, ...]]:
    table = pq.read_table(training.path)
    return sorted(zip(*(table[c].to_pylist() for c in columns), strict=True))


# ---------------------------------------------------------------- as declared


def test_parameters_are_request_columns_or_features_of_the_views_that_are_given() -> None:
    delays = view()
    function = ow.on_demand(features=[delays[["delay", "word"]]])(excess)
    assert isinstance(function, OnDemand)
    assert function.request == ("n",)
    assert function.features == ("delays__delay", "delays__word")
    assert function.read_of("delays") == ("delay", "word")
    assert function.views == (delays,)
    assert ow.on_demand(features=delays)(excess) == function


def test_where_one_views_name_begins_anothers_the_longer_is_meant() -> None:
    def both(delays__long__delay, delays__delay): ...

    @ow.feature_view(entity="carrier")
    def delays__long(flights):
        return flights

    function = ow.on_demand(features=[view(), delays__long])(both)
    assert function.read_of("delays") == ("delay",)
    assert function.read_of("delays__long") == ("delay",)


def slip(n, delay__word, delays__delay): ...


def other(n): ...


def beyond(delays__word): ...


@pytest.mark.parametrize(
    ("body", "features", "says"),
    [
        (slip, [view()], "did you mean 'delays__word'?"),
        (other, [view()], "reads nothing of view 'delays'"),
        (beyond, [view()[["delay"]]], "no feature of the part of view 'delays' 'word'"),
        (other, [ow.on_demand(other)], "is to read features of on-demand function 'other'"),
        (other, ["delays"], "is to read features of delays"),
    ],
)
def test_what_no_view_gives_is_refused_where_the_function_stands(
    body: Any, features: list[Any], says: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        ow.on_demand(features=features)(body)
    assert says in str(caught.value)
    assert str(caught.value.location) == f"{__file__}:{body.__code__.co_firstlineno}"


def test_a_views_feature_that_is_not_declared_is_no_request_column() -> None:
    with pytest.raises(DeclarationError) as caught:
        require_no_view(ow.on_demand(excess), ["habits", "delays"])
    assert caught.value.expected == "@ow.on_demand(features=[delays])"
    require_no_view(ow.on_demand(excess), ["delay", "habits"])


def test_its_code_and_what_it_reads_are_its_version() -> None:
    first = ow.on_demand(features=[view()])(excess)

    def other(n, delays__delay, delays__word):
        return {"excess": n + delays__delay, "known": delays__delay.notna(), "who": delays__word}

    assert first.digest == ow.on_demand(features=[view(owner="ada")])(excess).digest
    assert first.digest != ow.on_demand(features=[view(on_stale="last")])(excess).digest
    assert first.digest != ow.on_demand(features=[view()])(other).digest


# ---------------------------------------------------------------- in a training set


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, [(2.0, None, 0.0), (3.0, 0.0, 1.0), (4.0, 2.0, 1.0), (5.0, None, 0.0)]),
        ({"on_stale": "last"}, [(2.0, 1.0, 1.0), (3.0, 0.0, 1.0), (4.0, 2.0, 1.0),
                                (5.0, None, 0.0)]),
        ({"on_missing": "default", "defaults": {"delay": 7}},
         [(2.0, -5.0, 1.0), (3.0, 0.0, 1.0), (4.0, 2.0, 1.0), (5.0, -2.0, 1.0)]),
        ({"on_missing": "error"}, [(3.0, 0.0, 1.0), (4.0, 2.0, 1.0)]),
    ],
)  # fmt: skip
def test_a_function_gets_what_was_known_by_the_views_policy(
    shop: Shop, tmp_path: Path, policy: dict[str, Any], expected: list[tuple[Any, ...]]
) -> None:
    of = model(ow.on_demand(features=[view(**policy)])(excess))
    training = trained(shop, tmp_path / "training", of)
    assert rows(training, "n", "excess", "known") == expected


def test_a_model_reads_the_views_of_its_functions(shop: Shop, tmp_path: Path) -> None:
    training = trained(shop, tmp_path / "training", model(ow.on_demand(features=[view()])(excess)))
    plan = training.plan
    assert [c.name for c in plan.columns] == ["excess", "known", "who"]
    assert [v.ref for v in plan.views] == ["features:delays@1"]
    assert "features:delays@1" in training.inputs
    assert [c.name for c in plan.request] == ["n", "carrier"]
    [part] = plan.on_demand
    assert (part.inputs, part.features) == (
        ("n",),
        (Column(name="delays__delay", dtype="double"), Column(name="delays__word", dtype="string")),
    )
    assert plan.beside == part.features
    assert rows(training, "n", "delays__delay", "delays__word")[1:3] == [
        (3.0, 3.0, "aa"), (4.0, 2.0, "ua"),
    ]  # fmt: skip


def test_what_the_vector_has_is_not_kept_twice(shop: Shop, tmp_path: Path) -> None:
    delays = view()
    function = ow.on_demand(features=[delays])(excess)
    training = trained(shop, tmp_path / "training", model(delays[["delay"]], function))
    assert [c.name for c in training.plan.columns] == ["delays__delay", "excess", "known", "who"]
    assert [c.name for c in training.plan.beside] == ["delays__word"]
    assert len(training.plan.views) == 1


def test_numbers_and_booleans_of_views_are_numbers(shop: Shop, tmp_path: Path) -> None:
    seen: list[str] = []

    def typed(delays__late, delays__word):
        seen.extend([str(delays__late.dtype), str(delays__word.dtype)])
        return {"twice": delays__late * 2}

    training = trained(shop, tmp_path / "training", model(ow.on_demand(features=[view()])(typed)))
    assert rows(training, "n", "twice") == [(2.0, None), (3.0, 2.0), (4.0, 0.0), (5.0, None)]
    assert set(seen) == {"float64", "str"}


def test_a_feature_that_no_view_has_is_refused_with_the_nearest(shop: Shop, tmp_path: Path) -> None:
    def misspelt(delays__dely):
        return {"x": delays__dely}

    with pytest.raises(DataError) as caught:
        trained(shop, tmp_path / "training", model(ow.on_demand(features=[view()])(misspelt)))
    assert caught.value.what == (
        "there is no feature of view 'delays' 'dely', which on-demand function 'misspelt' reads"
    )
    assert "did you mean 'delay'" in caught.value.expected
    assert caught.value.location is not None
    with pytest.raises(DataError, match="'dely', which the model reads"):
        trained(shop, tmp_path / "training", model(view()[["dely"]]))


def test_a_function_must_give_a_row_the_same_among_others_and_alone(
    shop: Shop, tmp_path: Path
) -> None:
    def centred(delays__delay):
        return {"x": delays__delay - delays__delay.mean()}

    with pytest.raises(DataError, match="for the same row among others"):
        trained(shop, tmp_path / "training", model(ow.on_demand(features=[view()])(centred)))


def test_another_models_rows_get_its_features(shop: Shop, tmp_path: Path) -> None:
    champion = model(ow.on_demand(features=[view()])(excess))
    theirs = trained(shop, tmp_path / "training", champion)
    ours = trained(shop, tmp_path / "training", model(view()[["late"]]))
    features = request_features(champion, theirs.plan)
    found = recompute(ours, theirs.plan, features, lake=shop.lake, folder=tmp_path / "training")
    columns = ("n", "excess", "known", "delays__delay")
    assert rows(found, *columns) == rows(theirs, *columns)


@pytest.mark.parametrize(
    "policy", [{}, {"on_stale": "last"}, {"on_missing": "default", "defaults": {"word": "?"}}]
)
def test_what_is_logged_is_computed_again_as_in_training(
    shop: Shop, tmp_path: Path, policy: dict[str, Any]
) -> None:
    of = model(ow.on_demand(features=[view(**policy)])(excess))
    training = trained(shop, tmp_path / "training", of)
    table = pq.read_table(training.path)
    asked = [json.dumps({"n": row["n"], "carrier": row["carrier"]}) for row in table.to_pylist()]
    logged = pa.table({"request": asked, "at": table["event_time"]})
    again = vectors(training.plan, request_features(of, training.plan), logged, lake=shop.lake)
    assert again.column_names == ["excess", "known", "who"]
    for name in again.column_names:
        assert again[name].to_pylist() == table[name].to_pylist()


# ---------------------------------------------------------------- as it travels


def test_the_version_follows_the_views_that_are_read(shop: Shop, tmp_path: Path) -> None:
    versions = set()
    for policy in ({}, {"on_stale": "last"}):
        of = model(ow.on_demand(features=[view(**policy)])(excess))
        training = trained(shop, tmp_path / "training", of)
        versions.add(request_features(of, training.plan).version)
    assert len(versions) == 2


def test_the_views_own_functions_stay_behind(shop: Shop, tmp_path: Path) -> None:
    of = model(ow.on_demand(features=[view()])(excess))
    training = trained(shop, tmp_path / "training", of)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        packed = cloudpickle.dumps(request_features(of, training.plan))
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    script = (
        "import pickle, sys\n"
        "features = pickle.loads(sys.stdin.buffer.read())\n"
        "found = features.columns({'n': [5.0], 'carrier': ['UA']},"
        " {'delays__delay': [2], 'delays__word': ['ua']})\n"
        "assert 'ibis' not in sys.modules\n"
        "print({name: list(values) for name, values in found.items()})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=packed, capture_output=True, check=True
    )
    assert eval(done.stdout, {"np": __import__("numpy")}) == {
        "excess": [3.0], "known": [1.0], "who": ["ua"],
    }  # fmt: skip
    assert pickle.loads(packed).plan == training.plan


def test_features_that_are_read_must_be_there(shop: Shop, tmp_path: Path) -> None:
    of = model(ow.on_demand(features=[view()])(excess))
    training = trained(shop, tmp_path / "training", of)
    features = request_features(of, training.plan)
    with pytest.raises(DataError, match="no column 'delays__delay'"):
        features.columns({"n": [5.0], "carrier": ["UA"]})
    assert on_demand(of)[0].features == ("delays__delay", "delays__word")


def test_a_function_is_tried_on_rows_by_the_names_of_its_parameters() -> None:
    function = ow.on_demand(features=[view()])(excess)
    given = ow.given(request=[{"n": 5, "delays__delay": 2, "delays__word": "ua"}])
    given.expect(function, [{"excess": 3.0, "known": 1.0, "who": "ua"}])

    @ow.on_demand(features=[view()])
    def flagged(delays__late):
        assert delays__late.dtype == pd.Series([1.0]).dtype
        return {"late": delays__late}

    ow.given(request=[{"delays__late": True}]).expect(flagged, [{"late": 1.0}])
