"""Debian's docker-registry on free ports: open, behind a login, behind tokens, behind TLS."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from services.redis_server import free_port

USER, PASSWORD = "ada", "hunter2"
HASHED = "$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8."


@dataclass(frozen=True)
class RegistryServer:
    """A registry that a test may push to; `log` is what it says."""

    host: str
    folder: Path
    log: Path


@contextlib.contextmanager
def running_registry(folder: Path, **more: object) -> Iterator[RegistryServer]:
    """Run a registry of the block's own; `more` is merged into its configuration."""
    host = f"127.0.0.1:{free_port()}"
    config = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": False}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        **more,
        "http": {"addr": host, **more.get("http", {})},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yml").write_text(json.dumps(config))  # YAML's subset
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(folder / "config.yml")], stdout=out, stderr=out
        )
    try:
        deadline = time.monotonic() + 30
        port = int(host.rpartition(":")[2])
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "docker-registry does not listen"
            time.sleep(0.01)
        yield RegistryServer(host, folder, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that asks nobody who they are, by plain HTTP."""
    with running_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture
def closed_registry(tmp_path: Path) -> Iterator[RegistryServer]:
    """A registry behind HTTP's basic login."""
    file = tmp_path / "htpasswd"
    file.write_text(f"{USER}:{HASHED}\n")
    auth = {"htpasswd": {"realm": "tests", "path": str(file)}}
    with running_registry(tmp_path / "closed", auth=auth) as server:
        yield server


@pytest.fixture
def tls_registry(tmp_path: Path) -> Iterator[tuple[RegistryServer, Path]]:
    """A registry behind TLS, and the certificate that a client must trust."""
    key, certificate = _certified()
    (tmp_path / "key.pem").write_bytes(_pem(key))
    (tmp_path / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    tls = {"certificate": str(tmp_path / "ca.pem"), "key": str(tmp_path / "key.pem")}
    with running_registry(tmp_path / "tls", http={"tls": tls}) as server:
        yield server, tmp_path / "ca.pem"


@pytest.fixture
def token_registry(tmp_path: Path) -> Iterator[tuple[RegistryServer, list[str]]]:
    """A registry behind a token server, and the scopes that tokens were given for."""
    key, certificate = _certified()
    (tmp_path / "bundle.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    given: list[str] = []
    issuer = ThreadingHTTPServer(("127.0.0.1", 0), _issuing(key, certificate, given))
    thread = threading.Thread(target=issuer.serve_forever, args=(0.01,))
    thread.start()
    token = {
        "realm": f"http://127.0.0.1:{issuer.server_port}/token",
        "service": "tests",
        "issuer": "tests",
        "rootcertbundle": str(tmp_path / "bundle.pem"),
    }
    try:
        with running_registry(tmp_path / "token", auth={"token": token}) as server:
            yield server, given
    finally:
        issuer.shutdown()
        issuer.server_close()
        thread.join()


def _issuing(
    key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, given: list[str]
) -> type[BaseHTTPRequestHandler]:
    class Issuer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            if self.headers.get("Authorization") != f"Basic {wanted}":
                self.send_response(401)
                self.end_headers()
                return
            asked = parse_qs(urlsplit(self.path).query)
            given.extend(asked["scope"])
            body = json.dumps({"token": _token(key, certificate, asked["scope"])}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Issuer


def _token(
    key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, scopes: list[str]
) -> str:
    now = int(time.time())
    header = {
        "typ": "JWT", "alg": "ES256",
        "x5c": [base64.b64encode(
            certificate.public_bytes(serialization.Encoding.DER)).decode()],
    }  # fmt: skip
    access = [
        {"type": kind, "name": name, "actions": actions.split(",")}
        for kind, name, actions in (scope.split(":") for scope in scopes)
    ]
    claims = {"iss": "tests", "sub": USER, "aud": "tests", "exp": now + 300, "nbf": now - 10,
              "iat": now, "jti": str(now), "access": access}  # fmt: skip
    signed = f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _certified() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


class Cutting:
    """A proxy before a server, which cuts each connection after so many bytes either way."""

    def __init__(self, target: str, *, cuts: int, after: int) -> None:
        self._target = (target.partition(":")[0], int(target.partition(":")[2]))
        self._left, self._after = cuts, after
        self.cut = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection(self._target)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                carried += len(data)
                if self._left and carried > self._after:
                    self._left -= 1
                    self.cut += 1
                    break
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
