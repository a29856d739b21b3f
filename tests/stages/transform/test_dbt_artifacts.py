"""What dbt's artifacts say, read from small ones written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import onward as ow
from onward.core.errors import DeclarationError
from onward.stages.transform.adapters.dbt import DbtCommand
from onward.stages.transform.adapters.dbt_artifacts import broken, digest, manifest, outcome
from onward.stages.transform.config import DbtProject
from onward.stages.transform.dbt import transforms
from onward.stages.transform.graph import order
from onward.stages.transform.port import DbtTest
from onward.stages.transform.step import resolve

PROJECT = DbtProject(folder="dbt", vars={}, checks={})


def node(kind: str, name: str, *reads: str, materialized: str = "table", **more: Any) -> Any:
    return {
        "resource_type": kind, "name": name, "alias": name, "identifier": name, "tags": [],
        "database": "onward", "schema": "main", "original_file_path": f"models/{name}.sql",
        "depends_on": {"nodes": list(reads)}, "config": {"materialized": materialized},
    } | more  # fmt: skip


NODES = {
    "model.p.c": node("model", "c", "model.p.b", "source.p.raw.people"),
    "model.p.b": node("model", "b", "model.p.between", "seed.p.s"),
    "model.p.between": node("model", "between", "model.p.a", materialized="ephemeral"),
    "model.p.a": node("model", "A", "source.p.raw.orders"),
    "seed.p.s": node("seed", "s", materialized="seed"),
    "test.p.t": node("test", "t", "model.p.a", "model.p.b", materialized="test"),
    "test.p.on_b": node("test", "on_b", "model.p.b", attached_node="model.p.b"),
    "test.p.on_source": node("test", "on_source", "source.p.raw.orders"),
}
SOURCES = {
    "source.p.raw.orders": node("source", "orders"),
    "source.p.raw.people": node("source", "people"),
}
FOUND = {
    "nodes": NODES,
    "sources": SOURCES,
    "unit_tests": {"unit_test.p.u": node("unit_test", "u")},
}


def results(**status: str) -> Any:
    return {
        "results": [
            {"unique_id": key.replace("__", "."), "status": said, "failures": 2, "message": "no\n!"}
            for key, said in status.items()
        ]
    }


def test_models_come_after_what_they_read_and_know_the_sources_behind() -> None:
    models = manifest(FOUND, "d", PROJECT).models
    assert [(m.name, m.reads) for m in models] == [
        ("a", ("orders",)), ("b", ("a",)), ("c", ("b", "people")),
    ]  # fmt: skip
    assert [source.name for source in models[2].sources] == ["orders", "people"]


def test_tests_judge_the_models_that_they_are_attached_to_or_read() -> None:
    done = outcome(
        FOUND,
        results(model__p__a="success", model__p__b="skipped", test__p__t="fail",
                test__p__on_b="warn", test__p__on_source="pass"),
    )  # fmt: skip
    assert done.made == ("model.p.a",)
    assert done.tests == (
        DbtTest(name="t", models=("a", "b"), status="fail", rows=2),
        DbtTest(name="on_b", models=("b",), status="warn", rows=2),
        DbtTest(name="on_source", models=(), status="pass", rows=2),
    )
    assert outcome(FOUND, results(test__p__t="skipped")).tests == ()


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ({"model__p__a": "error"}, "model A"),
        ({"seed__p__s": "error"}, "seed s"),
        ({"test__p__on_source": "fail"}, "test on_source"),
        ({"unit_test__p__u": "fail"}, "unit test u"),
        ({"test__p__t": "fail", "model__p__a": "success", "macro__x": "error"}, None),
    ],
)
def test_what_fails_a_whole_build(status: dict[str, str], name: str | None) -> None:
    found = broken(FOUND, results(**status))
    assert (found and found.name) == name
    if found:
        assert found.message == "no !"


@pytest.mark.parametrize(
    ("key", "added", "message"),
    [
        ("snapshot.p.s", node("snapshot", "s"), "has a snapshot, s"),
        (
            "source.p.raw.file",
            node("source", "file", meta={"external_location": "x.csv"}),
            "source file reads x.csv",
        ),
    ],
)
def test_what_cannot_be_had_here_is_refused(key: str, added: Any, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        manifest({"nodes": {**NODES, key: added}, "sources": SOURCES}, "d", PROJECT)


def test_a_digest_follows_files_and_variables_and_not_what_dbt_writes(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("select 1")
    first = digest(tmp_path, {})
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "b").write_text("x")
    assert digest(tmp_path, {}) == first
    assert digest(tmp_path, {"x": 1}) != first
    (tmp_path / "a.sql").write_text("select 2")
    assert digest(tmp_path, {}) != first


def test_its_models_stay_together_in_the_order(tmp_path: Path) -> None:
    models = transforms(PROJECT, manifest(FOUND, "d", PROJECT), tmp_path)

    def after(c):
        return c

    def before(orders):
        return orders

    declared = [ow.transform(after), *models, ow.transform(before)]
    known = ("orders", "people", "a", "b", "c", "before", "after")
    resolved = [resolve(t, folder=tmp_path, known=known) for t in declared]
    ordered = [t.name for t in order(resolved, sources=["orders", "people"])]
    assert ordered.index("after") > ordered.index("c")
    assert "".join(ordered).find("abc") >= 0

    def people(b):
        return b

    with pytest.raises(DeclarationError, match=r"in a circle: .*dbt dbt"):
        order([*models, ow.transform(people)], sources=["orders"])


def test_checks_are_for_models_that_are_there(tmp_path: Path) -> None:
    checks = {"d": (ow.check("c", lambda t: t.x > 0),)}
    project = DbtProject(folder="dbt", vars={}, checks=checks)
    with pytest.raises(DeclarationError, match="no dbt model 'd'"):
        transforms(project, manifest(FOUND, "d", project), tmp_path)
    declared = ow.dbt("models/shop", vars={"x": 1}, checks=checks)
    assert (declared.name, declared.vars, declared.location.file) == ("shop", {"x": 1}, __file__)


def test_a_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="dbt is no dbt project"):
        DbtCommand("dbt", folder=tmp_path, state=tmp_path).manifest(PROJECT)
