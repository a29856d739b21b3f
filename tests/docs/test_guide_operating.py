"""The guide to operating the gateway: what it declares and sets is what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from marked_pages import guide
from onward.app.gateway.callers import caller_config
from onward.app.gateway.config import config
from onward.app.settings.gateway import LimitSettings
from onward.app.settings.sections import Settings
from onward.app.settings.sources import read_settings
from onward.core.records.access import Caller
from onward.stages.serve.gateway.metrics.counters import FAMILIES
from onward.surfaces.cli.commands import cli
from onward.watch.access.step import decide

GUIDE = guide("operating")


def declared(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(GUIDE.block(name), "operating.md", "exec"), names)
    return names


def settings(folder: Path, *names: str) -> Settings:
    (folder / "onward.toml").write_text("\n".join(GUIDE.block(name) for name in names))
    return read_settings(folder, environment={})


def test_the_limits_shown_are_the_defaults(tmp_path):
    assert settings(tmp_path, "limits").limits == LimitSettings()


def test_settings_are_listed_as_shown(tmp_path):
    (tmp_path / "onward.toml").touch()
    typed = [line.partition("#")[0].split()[2:] for line in GUIDE.block("list").splitlines()]
    assert len(typed) == 2
    for words in typed:
        done = CliRunner().invoke(cli, [*words, "--project", str(tmp_path)])
        assert done.exit_code == 0, done.output
        assert "[gateway]" in done.output


def test_settings_reach_the_gateway(tmp_path):
    chosen = settings(tmp_path, "workers", "telemetry", "callers")
    made = config(chosen, clock="system", port=0, access=declared("access")["access"])
    assert made.workers == 2
    assert made.telemetry is not None
    assert made.telemetry.access_log == str(tmp_path / "logs/access.jsonl")
    assert made.telemetry.exporter is not None
    assert made.callers is not None
    assert made.callers.roles is not None
    assert made.callers.roles["shop"] == {"predict": ("returns",), "feedback": ("returns",)}
    assert (made.callers.per_s, made.callers.burst) == (50.0, 100)
    assert made.callers.open == ("health", "metrics")


def test_what_is_encrypted_lies_in_the_project(tmp_path):
    made = config(settings(tmp_path, "tls"), clock="system", port=0)
    assert made.tls is not None
    assert (made.tls.certificate, made.tls.key) == (
        str(tmp_path / "tls/tls.crt"), str(tmp_path / "tls/tls.key"),
    )  # fmt: skip
    assert made.tls.client_cas == ()


def test_roles_and_deployments_are_declared_as_shown(tmp_path):
    access = declared("access")["access"]
    ann, shop = (Caller(name=name, known_by="token") for name in ("ann", "shop-7"))
    assert decide(access, ann, "observe", "routes").verdict == "allow"
    assert decide(access, shop, "predict", "returns").verdict == "allow"
    assert decide(access, shop, "observe", "routes").verdict == "deny"
    serving = declared("serving")["serving"]
    assert (serving.deadline.total_seconds(), serving.rows) == (0.05, 500)
    assert caller_config(settings(tmp_path, "limits"), access) is None


@pytest.mark.parametrize("name", sorted(set(re.findall(r"onward_[a-z_]+", GUIDE))))
def test_every_metric_that_it_names_exists(name):
    assert name.removesuffix("_bucket") in {family.name for family in FAMILIES}
