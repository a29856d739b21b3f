"""TLS: what is shown over HTTP and gRPC, renewed beneath open connections, refused at the start."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
import trained_models as small
import trustme
from cryptography.hazmat.primitives import serialization
from gateway_site import Site, free_port, ready, routes_of, serving
from rpc_calls import matrix

from onward.core.errors import DeclarationError
from onward.stages.serve.gateway.protocol.tls import SHOWN
from onward.stages.serve.gateway.rpc.proto import messages as pb
from onward.stages.serve.gateway.settings import TlsConfig

MODEL = "/v2/models/returns"
ROWS = {"rows": small.rows(1)}


@dataclass
class Files:
    """A certificate and its key in files, and who issued them."""

    folder: Path
    issuer: trustme.CA = field(default_factory=trustme.CA)

    @property
    def config(self) -> TlsConfig:
        return TlsConfig(certificate=f"{self.folder}/tls.crt", key=f"{self.folder}/tls.key")

    def issue(self, *, by: trustme.CA | None = None, certificate: bool = True) -> None:
        """Put a new pair there, each file replaced whole; or the key alone."""
        self.issuer = by or self.issuer
        made = self.issuer.issue_cert("127.0.0.1")
        files = {"tls.key": made.private_key_pem.bytes()}
        if certificate:
            files["tls.crt"] = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        for name, content in files.items():
            scratch = self.folder / f".{name}"
            scratch.write_bytes(content)
            scratch.replace(self.folder / name)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "tls").mkdir()
    found = Files(tmp_path / "tls")
    found.issue()
    return found


def trusting(issuer: trustme.CA, client: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    issuer.configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    return context


def asked(site: Site, issuer: trustme.CA, client: trustme.LeafCert | None = None) -> int:
    """Ask over a new connection, and return the status."""
    url = f"{site.server.url}{MODEL}/predict"
    return httpx.post(url, json=ROWS, verify=trusting(issuer, client)).status_code


def trusted(site: Site, issuer: trustme.CA) -> bool:
    """Whether a new connection shows what this issuer made."""
    try:
        return asked(site, issuer) == 200
    except httpx.ConnectError:
        return False


def infer(port: int, issuer: trustme.CA, *client: bytes) -> Any:
    """Call over a new channel."""
    root = issuer.cert_pem.bytes()
    credentials = grpc.ssl_channel_credentials(root, *client)
    own = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=own) as channel:
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        return call(matrix(), timeout=20)


class encrypted(serving):
    """A gateway whose client trusts nobody: tests bring their own."""

    def __enter__(self) -> Site:
        site = super().__enter__()
        site.client.close()
        self.client = site.client = httpx.Client(base_url=site.server.url, verify=False)
        return site


def test_both_protocols_are_encrypted_and_renewed_beneath_open_connections(tmp_path, files, image):
    port, first, second = free_port(), files.issuer, trustme.CA()
    routes = routes_of((image("plain"), 100.0))
    with encrypted(tmp_path, routes, tls=files.config, grpc_port=port) as site:
        parts = urlsplit(site.server.url)
        assert parts.scheme == "https"
        open_connection = http.client.HTTPSConnection(
            "127.0.0.1", parts.port, context=trusting(first)
        )

        def ask() -> int:
            open_connection.request("POST", f"{MODEL}/predict", json.dumps(ROWS))
            answer = open_connection.getresponse()
            answer.read()
            return answer.status

        assert ask() == 200
        before = open_connection.sock
        assert infer(port, first).model_version == "1"
        with pytest.raises(httpx.TransportError):
            httpx.get(site.server.url.replace("https", "http"))
        expires = site.client.get("/metrics").text.partition("\nonward_certificate_expires")[2]
        assert expires
        files.issue(by=second)
        site.until(lambda: trusted(site, second))
        assert not trusted(site, first)
        assert infer(port, second).model_version == "1"
        with pytest.raises(grpc.RpcError):
            infer(port, first)
        assert ask() == 200
        assert open_connection.sock is before  # the same connection goes on
        open_connection.close()
        shown = (tmp_path / "state" / SHOWN).read_bytes()
        assert shown.startswith((tmp_path / "tls/tls.crt").read_bytes())
    assert "the certificate is renewed" in (tmp_path / "state/gateway.log").read_text()


def test_what_is_no_pair_is_not_taken_and_the_one_before_goes_on(tmp_path, files, image):
    log = tmp_path / "state/gateway.log"
    before, after = files.issuer, trustme.CA()
    with encrypted(tmp_path, routes_of((image("plain"), 100.0)), tls=files.config) as site:
        files.issue(certificate=False)
        site.until(lambda: "the one before goes on: the gateway cannot show" in log.read_text())
        assert "the key is another certificate's" in log.read_text()
        assert asked(site, before) == 200
        Path(files.config.key).unlink()
        site.until(lambda: "tls.key cannot be read: No such file" in log.read_text())
        assert asked(site, before) == 200
        files.issue(by=after)
        site.until(lambda: trusted(site, after))


def test_all_workers_show_and_renew_it(tmp_path, files, image):
    first, second = files.issuer, trustme.CA()
    routes = routes_of((image("plain"), 100.0))
    log, shown = tmp_path / "state/gateway.log", tmp_path / "state" / SHOWN
    with encrypted(tmp_path, routes, tls=files.config, workers=2) as site:
        assert {asked(site, first) for _ in range(8)} == {200}
        before = Path(files.config.certificate).read_bytes()
        assert shown.read_bytes().startswith(before)
        files.issue(by=second)
        site.until(lambda: log.read_text().count("the certificate is renewed") == 2)
        assert {asked(site, second) for _ in range(8)} == {200}
        now = Path(files.config.certificate).read_bytes()
        assert shown.read_bytes().startswith(now)
        assert shown.read_bytes().endswith(before)  # both are trusted, and once each
        assert shown.read_bytes().count(b"BEGIN") == (now + before).count(b"BEGIN")
        assert len(ready(site)) == 2


def test_clients_must_be_known_where_an_authority_is_named(tmp_path, files, image):
    port, clients, others = free_port(), trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(str(tmp_path / "clients.pem"))
    tls = TlsConfig(
        certificate=files.config.certificate,
        key=files.config.key,
        client_cas=(str(tmp_path / "clients.pem"),),
    )
    routes = routes_of((image("plain"), 100.0))
    known, unknown = (ca.issue_cert("shop") for ca in (clients, others))
    with encrypted(tmp_path, routes, tls=tls, grpc_port=port) as site:
        assert asked(site, files.issuer, known) == 200
        for client in (None, unknown):
            with pytest.raises(httpx.TransportError):
                asked(site, files.issuer, client)
        pair = known.private_key_pem.bytes(), known.cert_chain_pems[0].bytes()
        assert infer(port, files.issuer, *pair).model_version == "1"
        with pytest.raises(grpc.RpcError):
            infer(port, files.issuer)


def test_refused_and_broken_off_requests_end_their_connections(tmp_path, files, image):
    routes = routes_of((image("plain"), 100.0))
    with encrypted(tmp_path, routes, tls=files.config, max_body_bytes=1_000) as site:
        answer = site.client.post(f"{MODEL}/predict", content=b"x" * 5_000)
        assert answer.status_code == 413
        parts = urlsplit(site.server.url)
        context = trusting(files.issuer)
        address = (parts.hostname, parts.port)
        with (
            socket.create_connection(address) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as raw,
        ):
            raw.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert raw.recv(65_536).startswith(b"HTTP/1.1 200")
        assert site.client.get("/v2").status_code == 200
    log = (tmp_path / "state/gateway.log").read_text()
    assert "Traceback" not in log
    assert "eof_received" not in log


def locked(files: Files) -> None:
    key = serialization.load_pem_private_key(Path(files.config.key).read_bytes(), None)
    closed = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    Path(files.config.key).write_bytes(closed)


SPOILT = {
    "tls.crt cannot be read: No such file": lambda f: Path(f.config.certificate).unlink(),
    "the key is another certificate's": lambda f: f.issue(certificate=False),
    "a certificate and its key in PEM": lambda f: Path(f.config.certificate).write_text("no PEM"),
    "tls_key is encrypted": locked,
}


@pytest.mark.parametrize("words", SPOILT)
def test_what_is_no_pair_is_refused_at_the_start(tmp_path, files, image, words):
    SPOILT[words](files)
    for workers in (1, 2):
        folder = tmp_path / f"w{workers}"
        with pytest.raises(DeclarationError) as caught:
            serving(
                folder, routes_of((image("plain"), 100.0)), tls=files.config, workers=workers
            ).__enter__()
        assert str(caught.value).count(words) == 1
