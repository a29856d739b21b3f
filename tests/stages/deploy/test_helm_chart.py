"""Helm's own library reads the chart: it lints, and gives the plain manifests.

The library is Go's, and has a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from onward.app.deployment import write
from onward.stages.deploy.adapters.helm import HelmTarget
from onward.stages.deploy.adapters.kubernetes import KubernetesTarget
from workloads import EVERYTHING, workload

BY_REQUESTS = {"scale_at_requests": 200, "prometheus": "http://prometheus:9090"}
VARIANTS = {
    "plain": {"candidate": False},
    "everything": {**EVERYTHING, "egress": (6379,)},
    "by requests": {**EVERYTHING, **BY_REQUESTS, "gpu": 2},
}
_ASKED = """
import json, sys
import helm_python as helm

folder, values = sys.argv[1], json.loads(sys.argv[2])
with helm.Chart.load(folder) as chart:
    made = chart.render(values, name="order-return", namespace="shop")
json.dump({"found": helm.lint(folder), "made": made}, sys.stdout, default=str)
"""


def asked(folder: Path, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """Let Helm lint a chart and render it with values of a user's own."""
    words = [sys.executable, "-c", _ASKED, str(folder), json.dumps(values or {})]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def made_by(said: dict[str, Any]) -> dict[str, Any]:
    """Return the manifests by their file's name."""
    return {
        name.rpartition("/")[2]: yaml.safe_load(text)
        for name, text in said["made"].items()
        if text.strip()
    }


def without_empty(found: Any) -> Any:
    """Leave out what a chart writes as empty: no node selector is none."""
    if isinstance(found, dict):
        kept = ("emptyDir", "podSelector")
        return {k: without_empty(v) for k, v in found.items() if v not in ([], {}) or k in kept}
    return [without_empty(each) for each in found] if isinstance(found, list) else found


@pytest.mark.parametrize("variant", VARIANTS)
def test_helm_gives_the_plain_manifests(variant: str, tmp_path: Path) -> None:
    wanted = workload(**{**VARIANTS[variant], "namespace": None})
    write(HelmTarget().render(wanted), tmp_path / "chart")
    said = asked(tmp_path / "chart")
    plain = {n: yaml.safe_load(text) for n, text in KubernetesTarget().render(wanted).items()}
    made = made_by(said)
    assert made.keys() == plain.keys()
    for name, found in made.items():
        assert without_empty(found) == without_empty(plain[name]), name


def test_a_users_values_go_where_they_belong(tmp_path: Path) -> None:
    wanted = workload(**{**EVERYTHING, "namespace": None})
    write(HelmTarget().render(wanted), tmp_path / "chart")
    values = {"replicas": 7, "nodeSelector": {"disk": "fast"}, "routes": "{}", "maxReplicas": 9}
    made = made_by(asked(tmp_path / "chart", values))
    assert made["deployment.yaml"]["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "fast"}
    scaled = made["scaling.yaml"]["spec"]
    assert (scaled["minReplicas"], scaled["maxReplicas"]) == (7, 9)
    assert made["routes.yaml"]["data"]["order_return.json"] == "{}"


def test_helm_lints_the_chart_and_finds_what_is_wrong_with_another(tmp_path: Path) -> None:
    folder = tmp_path / "chart"
    write(HelmTarget().render(workload()), folder)
    found = asked(folder)["found"]
    assert (found["total_charts_linted"], found["errors"]) == (1, [])
    assert [m["error"] for m in found["messages"]] == ["icon is recommended"]
    broken = folder / "templates" / "deployment.yaml"
    broken.write_text(broken.read_text().replace("| toJson }}", "| toJsn }}", 1))
    words = [sys.executable, "-c", _ASKED, str(folder), "{}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "toJsn" in done.stderr
