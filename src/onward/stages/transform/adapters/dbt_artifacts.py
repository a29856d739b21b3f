"""dbt's artifacts: what `manifest.json` and `run_results.json` say, as this room has it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final, Literal

from onward.core.errors import DeclarationError, Location
from onward.stages.transform.config import DbtProject
from onward.stages.transform.port import (
    DbtModel,
    DbtOutcome,
    DbtSource,
    DbtTest,
    Manifest,
    Relation,
)

_MADE_BY_DBT: Final = {"target", "logs", "__pycache__"}

_SAID: Final[Mapping[str, Literal["pass", "warn"]]] = {"pass": "pass", "warn": "warn"}

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """A node that failed so that nothing of the build is to be trusted."""

    name: str
    file: str
    message: str


def digest(root: Path, variables: Mapping[str, Any]) -> str:
    """Return a digest of a project's files and variables; what dbt itself writes is left out."""
    found = hashlib.sha256(json.dumps(variables, sort_keys=True).encode())
    for file in sorted(root.rglob("*")):
        parts = file.relative_to(root).parts
        if file.is_file() and not any(p in _MADE_BY_DBT or p.startswith(".") for p in parts):
            found.update("/".join(parts).encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def manifest(found: Json, digest: str, project: DbtProject) -> Manifest:
    """Read a manifest.

    Raises
    ------
    DeclarationError
        The project has snapshots, or a source that reads files by itself.
    """
    nodes: dict[str, Json] = {**found["nodes"], **found["sources"]}
    for node in nodes.values():
        _require_known(node, project)
    models = {k: n for k, n in found["nodes"].items() if _becomes_a_table(n)}
    direct = {k: dict.fromkeys(_behind(k, nodes, _is_dataset)) for k in models}
    order = TopologicalSorter({k: [r for r in read if r in models] for k, read in direct.items()})
    return Manifest(
        digest=digest,
        models=tuple(
            DbtModel(
                id=key,
                name=_name(nodes[key]),
                relation=_relation(nodes[key], "alias"),
                reads=tuple(_name(nodes[read]) for read in direct[key]),
                sources=tuple(
                    DbtSource(
                        name=_name(nodes[read]), relation=_relation(nodes[read], "identifier")
                    )
                    for read in sorted(set(_behind(key, nodes, _is_source)))
                ),
                tags=tuple(nodes[key]["tags"]),
                file=nodes[key]["original_file_path"],
            )
            for key in order.static_order()
        ),
    )


def outcome(found: Json, results: Json) -> DbtOutcome:
    """Read a build's results: the models made, and the tests of models."""
    nodes = found["nodes"]
    status = {r["unique_id"]: r for r in results["results"]}
    tests = []
    for key, result in status.items():
        node = nodes.get(key)
        if node is None or node["resource_type"] != "test" or result["status"] == "skipped":
            continue
        judged = [k for k in _judged(node) if _becomes_a_table(nodes.get(k, {}))]
        tests.append(
            DbtTest(
                name=node["name"],
                models=tuple(_name(nodes[k]) for k in judged),
                status=_SAID.get(result["status"], "fail"),
                rows=result["failures"] or 0,
            )
        )
    made = tuple(k for k, r in status.items() if k in nodes and r["status"] == "success")
    return DbtOutcome(made=made, tests=tuple(tests))


def broken(found: Json, results: Json) -> Broken | None:
    """Return the first node that failed and is no test of a model; None if there is none."""
    everything = {**found["nodes"], **found.get("unit_tests", {})}
    for result in results["results"]:
        node = everything.get(result["unique_id"])
        if node is None or result["status"] not in ("error", "fail"):
            continue
        of_models = node["resource_type"] == "test" and any(
            _becomes_a_table(found["nodes"].get(k, {})) for k in _judged(node)
        )
        if not of_models:
            kind = node["resource_type"].replace("_", " ")
            message = " ".join(str(result["message"] or "").split())
            return Broken(f"{kind} {node['name']}", node["original_file_path"], message)
    return None


def _require_known(node: Json, project: DbtProject) -> None:
    if node["resource_type"] == "snapshot":
        raise DeclarationError(
            f"the dbt project {project.folder} has a snapshot, {node['name']}",
            expected="models and seeds: each build begins with an empty database, and Onward's "
            "tables keep their own history",
            location=project.location,
        )
    meta = {**(node.get("source_meta") or {}), **(node.get("meta") or {})}
    if node["resource_type"] == "source" and "external_location" in meta:
        raise DeclarationError(
            f"the dbt source {node['name']} reads {meta['external_location']}",
            expected="a source or transform of the pipeline, so that lineage is whole",
            next_step="declare it with ow.Source, and drop external_location",
            location=Location(str(Path(project.folder) / node["original_file_path"]), 1),
        )


def _becomes_a_table(node: Json) -> bool:
    made = node.get("config", {}).get("materialized")
    return node.get("resource_type") == "model" and made != "ephemeral"


def _is_source(node: Json) -> bool:
    return bool(node["resource_type"] == "source")


def _is_dataset(node: Json) -> bool:
    return _is_source(node) or _becomes_a_table(node)


def _behind(key: str, nodes: Mapping[str, Json], wanted: Callable[[Json], bool]) -> Iterator[str]:
    """Yield the nearest nodes of a kind that a node reads, through those of another kind."""
    for parent in nodes[key].get("depends_on", {}).get("nodes", ()):
        if parent not in nodes:
            continue
        if wanted(nodes[parent]):
            yield parent
        else:
            yield from _behind(parent, nodes, wanted)


def _judged(test: Json) -> list[str]:
    """Return the nodes that a test judges: the one it is attached to, or all that it reads."""
    attached = test.get("attached_node")
    return [attached] if attached else list(test["depends_on"]["nodes"])


def _name(node: Json) -> str:
    name = node["name"] if _is_source(node) else node["alias"]
    return str(name).lower()


def _relation(node: Json, name: str) -> Relation:
    return Relation(database=node["database"], schema=node["schema"], name=node[name])
