"""Who may call the gateway, and how it is known to be the gateway: by the project's settings."""

from __future__ import annotations

import hashlib
import secrets as randomness
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from onward.app.secrets import places
from onward.app.settings.sections import Settings
from onward.core.clock import SystemClock
from onward.core.errors import DeclarationError
from onward.core.ports.callers import CALLERS_ENTRY
from onward.flow.site import Folders

if TYPE_CHECKING:
    import ssl

    from onward.stages.serve.gateway.settings import CallerConfig, Factory, TlsConfig
    from onward.watch.access.config import Access

OF_THE_STARTER: Final = "token"
"""The file in the gateway's state with the token of whoever started it."""

_CERTIFICATE: Final = "starter.pem"
_KEY: Final = "starter.key"


def caller_config(settings: Settings, access: Access | None) -> CallerConfig | None:
    """Return who may call; None where everybody may, as often as they like."""
    from onward.stages.serve.gateway.settings import CallerConfig

    chosen = settings.callers
    if not (chosen.known or chosen.rate):
        return None
    roles: dict[str, dict[str, tuple[str, ...]]] | None = None
    if access is not None:
        roles = {
            name: {str(action): patterns for action, patterns in grants.by_action.items()}
            for name, grants in access.roles.items()
        }
    return CallerConfig(
        knower=_knower(settings) if chosen.known else None,
        roles=roles,
        members={} if access is None else dict(access.members),
        open=tuple(chosen.open.replace(",", " ").split()),
        per_s=chosen.rate,
        burst=chosen.burst,
    )


def _knower(settings: Settings) -> Factory:
    from onward.stages.serve.gateway.settings import Factory

    chosen = settings.callers
    jwks = chosen.jwks
    if jwks and "://" not in jwks:
        jwks = str(settings.folder / jwks)
    return Factory(
        entry=CALLERS_ENTRY,
        arguments={
            **places(settings),
            "controller": hashlib.sha256(_new_token(settings.state).encode()).hexdigest(),
            "jwt_secret": chosen.jwt_secret,
            "jwks": jwks,
            "audience": chosen.audience,
            "issuer": chosen.issuer,
            "leeway_s": chosen.leeway.total_seconds(),
            "roles": chosen.roles,
        },
    )


def _new_token(state: Path) -> str:
    """Make the token of this life of the gateway: who can read the project's state has it."""
    token = randomness.token_urlsafe(32)
    _keep(state, OF_THE_STARTER, token.encode())
    return token


def tls_config(settings: Settings) -> TlsConfig | None:
    """Return what the gateway's connections are encrypted with; None for plain ones.

    Where clients must show certificates, `onward` shows one that is made here.

    Raises
    ------
    DeclarationError
        One of certificate and key is not given.
    """
    from onward.stages.serve.gateway.settings import TlsConfig

    chosen = settings.gateway
    if not (chosen.tls_certificate or chosen.tls_key or chosen.tls_client_ca):
        return None
    for name in ("tls_certificate", "tls_key"):
        if not getattr(chosen, name):
            raise DeclarationError(
                f"[gateway] {name} is not given, and TLS needs it",
                expected="tls_certificate and tls_key, files in PEM",
            )
    client_cas: tuple[str, ...] = ()
    if chosen.tls_client_ca:
        own = _new_certificate(settings.state)
        client_cas = (str(settings.folder / chosen.tls_client_ca), str(own))
    return TlsConfig(
        certificate=str(settings.folder / chosen.tls_certificate),
        key=str(settings.folder / chosen.tls_key),
        client_cas=client_cas,
    )


def _new_certificate(state: Path) -> Path:
    """Make the certificate of this life's starter, who alone can read its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import NameOID

    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "onward")])
    now = SystemClock().now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, None)
    )
    pem = serialization.Encoding.PEM
    written = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _keep(state, _KEY, written)
    return _keep(state, _CERTIFICATE, certificate.public_bytes(pem))


def _keep(state: Path, name: str, content: bytes) -> Path:
    """Write a file of the gateway's state that nobody else may read."""
    file = Folders(state).gateway / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    file.touch(0o600)
    file.write_bytes(content)
    return file


def verified(state: Path) -> ssl.SSLContext:
    """Return how the gateway is known where it is called by https, and what it is shown."""
    import ssl

    from onward.stages.serve.gateway.protocol.tls import SHOWN, known_by

    folder = Folders(state).gateway
    if not (folder / SHOWN).exists():  # it speaks plain http
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = known_by(folder)
    if (folder / _KEY).exists():
        context.load_cert_chain(folder / _CERTIFICATE, folder / _KEY)
    return context


def shown(state: Path) -> Mapping[str, str]:
    """Return the headers by which the gateway knows who started it."""
    file = Folders(state).gateway / OF_THE_STARTER
    return {"authorization": f"Bearer {file.read_text()}"} if file.exists() else {}
