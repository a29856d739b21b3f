"""A project whose gateway is encrypted: what `onward` itself asks of it goes on working."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import trained_models as small
import trustme
from gateway_site import routes_of, write_stores

from onward.app.gateway.callers import tls_config
from onward.app.gateway.calling import Caller
from onward.app.gateway.serving import address, alerts, serving
from onward.app.release import _served
from onward.app.settings.sections import Settings
from onward.app.settings.sources import read_settings
from onward.core.errors import DeclarationError
from onward.flow.site import Folders
from onward.stages.serve.routes import write_routes

SETTINGS = """
[gateway]
tls_certificate = "tls/tls.crt"
tls_key = "tls/tls.key"
"""


def settings(folder: Path, *more: str) -> Settings:
    (folder / "onward.toml").write_text(SETTINGS + "\n".join(more))
    return read_settings(folder, environment={})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a certificate for a name that nobody here calls it by."""
    made = trustme.CA().issue_cert("gateway.example.org")
    (tmp_path / "tls").mkdir()
    made.private_key_pem.write_to_path(str(tmp_path / "tls/tls.key"))
    for pem in made.cert_chain_pems:
        pem.write_to_path(str(tmp_path / "tls/tls.crt"), append=True)
    return tmp_path


@pytest.mark.parametrize("mutual", [False, True])
def test_it_settles_predicts_and_is_asked_how_it_stands(project, image, mutual):
    more = []
    if mutual:
        trustme.CA().cert_pem.write_to_path(str(project / "clients.pem"))
        more = ['tls_client_ca = "clients.pem"']
    chosen = settings(project, *more)
    folders = Folders(chosen.state)
    chosen.state.mkdir()
    write_stores(chosen.state / "online.db", datetime.now(UTC))
    write_routes(folders.routes, routes_of((image("plain"), 100.0)))
    with serving(chosen, port=0) as gateway:
        assert gateway.url == address(chosen.state)
        assert gateway.url.startswith("https://127.0.0.1:")
        assert gateway.settle("returns") is None
        caller = Caller(gateway.url, "returns", chosen.state)
        [entry] = caller.predict(small.rows(1))["predictions"]
        assert entry["version"] == 1
        assert alerts(gateway.url, chosen.state) == {}
        asking: Any = SimpleNamespace(settings=chosen)
        assert _served(asking, "returns") == {"champion": 100.0}
        with pytest.raises(httpx.ConnectError):  # who was not told of the certificate
            httpx.get(f"{gateway.url}/v2")
    if mutual:
        key = folders.gateway / "starter.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_certificate_and_key_go_together(project):
    chosen = settings(project)
    found = tls_config(chosen)
    assert found is not None
    assert found.certificate == str(project / "tls/tls.crt")
    (project / "onward.toml").write_text('[gateway]\ntls_certificate = "tls/tls.crt"\n')
    with pytest.raises(DeclarationError, match="tls_key is not given"):
        tls_config(read_settings(project, environment={}))
    (project / "onward.toml").write_text("")
    assert tls_config(read_settings(project, environment={})) is None
