"""The gateway's certificate: read from files, shown to new connections, renewed beneath old ones.

What lies in the files counts from the next connection on; those that are open go on as they are.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from onward.core.errors import DeclarationError, OnwardError
from onward.core.files import write_whole
from onward.stages.serve.gateway.settings import TlsConfig
from onward.stages.serve.gateway.words import say

SHOWN: Final = "certificates.pem"
"""The file in a gateway's state with the certificate that it shows, and the one before: by these
its starter knows it, whatever name or authority they have.
"""

_BEFORE: Final = b"\n# The one before:\n"

EVERY_S: Final = 1.0
"""Seconds between two looks at the files."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pair:
    """A certificate, with those that it hangs on, and its key, in PEM; `context` shows them.

    `client_cas` are the certificates that clients' must hang on; without any, clients need none.
    """

    chain: bytes
    key: bytes
    client_cas: bytes
    context: ssl.SSLContext

    @property
    def expires(self) -> datetime:
        """When the certificate is no longer valid."""
        from cryptography.x509 import load_pem_x509_certificate

        return load_pem_x509_certificate(self.chain).not_valid_after_utc


class Certificate:
    """What connections are shown, as the files have it.

    Raises
    ------
    DeclarationError
        A file cannot be read, is none, or the key is another certificate's.
    """

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        self._due = 0.0
        self._marks = _marks(config)
        self.pair = read_pair(config)
        self.listening = self.pair.context
        """For those who listen: each connection that it makes shows the newest certificate."""
        self.listening.sni_callback = self._choose

    def look(self, now: float) -> bool:
        """Take what the files hold if they have changed, and say whether it was; `now` in seconds.

        What is no pair, such as one that is half written, is said and left; the one before goes on.
        """
        if now < self._due:
            return False
        self._due = now + EVERY_S
        marks = _marks(self._config)
        if marks == self._marks:
            return False
        self._marks = marks
        try:
            self.pair = read_pair(self._config)
        except OnwardError as error:
            say(f"the certificate is not renewed, and the one before goes on: {error}")
            return False
        say(f"the certificate is renewed: it is valid until {self.pair.expires:%Y-%m-%d %H:%M} UTC")
        return True

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _asked: ssl.SSLContext) -> None:
        connection.context = self.pair.context


def read_pair(config: TlsConfig) -> Pair:
    """Read certificate and key.

    Raises
    ------
    DeclarationError
        A file cannot be read, is none, or the key is another certificate's.
    """
    chain = _read("tls_certificate", config.certificate)
    key = _read("tls_key", config.key)
    client_cas = b"\n".join(_read("tls_client_ca", each) for each in config.client_cas)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.certificate, config.key, password=_nobody_to_ask)
    except ssl.SSLError as error:
        other = error.reason == "KEY_VALUES_MISMATCH"
        raise DeclarationError(
            f"the gateway cannot show {config.certificate} with the key {config.key}: "
            + ("the key is another certificate's" if other else f"{error.reason or error}"),
            expected="a certificate and its key in PEM",
            next_step="see gateway.tls_certificate and gateway.tls_key in onward.toml",
        ) from None
    if client_cas:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(cadata=client_cas.decode("ascii", "replace"))
        except ssl.SSLError as error:
            raise DeclarationError(
                f"gateway.tls_client_ca cannot be used: {error.reason or error}",
                expected="certificates in PEM",
            ) from None
    return Pair(chain, key, client_cas, context)


def show(state: Path, pair: Pair) -> None:
    """Leave word in a gateway's state of the certificate that is shown from now on.

    The one before stays beside it: another worker may show it for a second more.
    """
    file = state / SHOWN
    newest = file.read_bytes().partition(_BEFORE)[0] if file.exists() else b""
    if newest != pair.chain:
        write_whole(file, pair.chain + _BEFORE + newest)


def known_by(state: Path) -> ssl.SSLContext:
    """Return how its starter knows the gateway of a state folder: by the very certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is called by its address; the certificate is what counts
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(state / SHOWN)
    return context


def _read(setting: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise DeclarationError(
            f"gateway.{setting}: {file} cannot be read: {error.strerror}",
            expected="a file in PEM that the gateway may read",
        ) from None


def _nobody_to_ask() -> str:
    raise DeclarationError(
        "gateway.tls_key is encrypted, and nobody is there to ask for its password",
        expected="a key in PEM without a password, which only the gateway may read",
    )


def _marks(config: TlsConfig) -> Sequence[tuple[int, int, int] | None]:
    """Return what tells a file's content from another's: its number, time and size."""
    return [_mark(file) for file in (config.certificate, config.key, *config.client_cas)]


def _mark(file: str) -> tuple[int, int, int] | None:
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
