"""The guide's client, run against a gateway that is set up as the guide says."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import trained_models as small
from gateway_site import routes_of, serving

from marked_pages import guide
from onward.app.gateway.config import config
from onward.app.settings.sources import read_settings
from onward.core.ports import Secret
from onward.core.ports.callers import TOKENS
from onward.infra.secrets.keyfile import KeyFile
from onward.stages.serve.log.reader import read

GUIDE = guide("operating")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_the_guides_client_is_answered(tmp_path, image):
    (tmp_path / "onward.toml").write_text(GUIDE.block("callers") + GUIDE.block("telemetry"))
    names: dict[str, Any] = {}
    exec(compile(GUIDE.block("access"), "operating.md", "exec"), names)
    keyfile = KeyFile(tmp_path / ".onward" / "secrets.json")
    keyfile.keep("gateway-jwt", Secret("of no less than thirty-two bytes, as it should be"))
    keyfile.keep(TOKENS, Secret(f"ann {hashlib.sha256(b'a token').hexdigest()}"))
    settings = read_settings(tmp_path, environment={})
    made = config(settings, clock="system", port=0, access=names["access"])
    assert made.telemetry is not None
    with serving(
        tmp_path, routes_of((image("plain"), 100.0)), callers=made.callers,
        telemetry=made.telemetry,
    ) as site:  # fmt: skip
        names = {
            "url": site.server.url, "token": "a token", "rows": small.rows(1),
            "traceparent": TRACEPARENT,
        }  # fmt: skip
        exec(compile(GUIDE.block("client"), "operating.md", "exec"), names)
        names["client"].close()
        answer = names["answer"]
        assert answer.status_code == 200
        assert names["left"].startswith('"caller";r=99;')
        assert answer.headers["x-request-id"] == "order-17"
        assert site.client.post("/v2/models/returns/predict").status_code == 401
        assert site.client.get("/metrics").status_code == 200
    [logged] = read(tmp_path / "predictions")[0]
    assert logged.id == answer.json()["predictions"][0]["id"]
    entries = map(json.loads, (tmp_path / "logs" / "access.jsonl").read_text().splitlines())
    [entry] = [each for each in entries if each["id"] == "order-17"]
    shown = re.search(r'^\{"at":.*\}$', GUIDE, re.MULTILINE)
    assert shown is not None
    assert entry.keys() == json.loads(shown[0]).keys()
    assert (entry["caller"], entry["trace"]) == ("ann", TRACEPARENT.split("-")[1])


def test_a_version_beside_the_routes_answers_to_its_number(tmp_path, image):
    routes = replace(routes_of((image("plain"), 100.0)), kept=(image("better"),))
    with serving(tmp_path, routes) as site:
        address = urlsplit(site.server.url).netloc
        done = subprocess.run(
            ["bash", "-euc", GUIDE.block("asked").replace("localhost:8080", address)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    [entry] = json.loads(done.stdout)["predictions"]
    assert (entry["version"], entry["arm"], entry["unit"]) == (2, "direct", "o-17")
