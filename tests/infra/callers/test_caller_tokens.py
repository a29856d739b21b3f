"""Callers by tokens and JWTs: good ones are known, all others are told why not."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from onward.core.errors import DeclarationError, DeniedError
from onward.core.ports import Secret
from onward.core.ports.callers import TOKENS
from onward.infra.callers.chain import open_callers
from onward.infra.callers.jwt import KeySet
from onward.infra.secrets.chain import open_secrets

SHARED = "a secret that both sides know, of no less than 48 bytes"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, kid: str) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if hasattr(key, "decrypt") else jwt.algorithms.ECAlgorithm
    return kind.to_jwk(key.public_key(), as_dict=True) | {"kid": kid}


def signed(key: Any, algorithm: str, kid: str | None = None, **claims: Any) -> str:
    body = {
        "sub": "mara", "aud": "shop", "iss": "https://id.example", "roles": ["caller"],
        "exp": time.time() + 86_400, **claims,
    }  # fmt: skip
    body = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(body, key, algorithm, headers={"kid": kid} if kid else None)


@pytest.fixture
def places(tmp_path):
    keyfile = tmp_path / "secrets.json"
    places = {"keyfile": str(keyfile), "folder": str(tmp_path / "secrets")}
    secrets = open_secrets(**places)
    secrets.keep("gateway-jwt", Secret(SHARED))
    digest = hashlib.sha256(b"ann's token").hexdigest()
    secrets.keep(TOKENS, Secret(f"ann {digest}\nbob {'0' * 64}"))
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [public(RSA, "r1"), public(EC, "e1")]}))
    return places | {"jwks": str(jwks)}


@pytest.fixture
def callers(places):
    opened = open_callers(
        **places, jwt_secret="gateway-jwt", audience="shop", issuer="https://id.example",
        leeway_s=600.0, controller=hashlib.sha256(b"the starter's").hexdigest(),
    )  # fmt: skip
    yield opened
    opened.close()


def test_static_tokens_are_known_by_their_digest(callers, places):
    assert callers.identify("ann's token").name == "ann"
    assert callers.identify("the starter's").trusted
    for token in ("", "bob", "ann's tokem", "0" * 64):
        with pytest.raises(DeniedError, match="nobody's"):
            callers.identify(token)


def test_a_new_token_is_known_within_a_second_and_one_taken_back_is_not(places, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("onward.infra.callers.tokens.time.monotonic", lambda: now[0])
    callers = open_callers(keyfile=places["keyfile"], folder=places["folder"])
    assert callers.identify("ann's token").name == "ann"
    digest = hashlib.sha256(b"cleo's").hexdigest()
    open_secrets(keyfile=places["keyfile"], folder=places["folder"]).keep(
        TOKENS, Secret(f"cleo {digest}")
    )
    now[0] += 1.1
    assert callers.identify("cleo's").name == "cleo"
    with pytest.raises(DeniedError, match="nobody's"):
        callers.identify("ann's token")
    with pytest.raises(DeniedError, match="nobody's"):  # no JWTs are taken here
        callers.identify(signed(SHARED, "HS256"))
    callers.close()


@pytest.mark.parametrize(
    "token",
    [
        signed(SHARED, "HS256"),
        signed(RSA, "RS256", "r1"),
        signed(EC, "ES256", "e1"),
        signed(SHARED, "HS256", aud=["shop", "other"]),
        signed(SHARED, "HS256", roles="caller"),
    ],
)
def test_good_jwts_are_known(callers, token):
    found = callers.identify(token)
    assert (found.name, found.roles, found.trusted) == ("mara", ("caller",), False)
    assert found.expires > time.time()


def test_a_jwt_is_good_for_the_leeway_longer(callers):
    assert callers.identify(signed(SHARED, "HS256", exp=time.time() - 60)).name == "mara"
    with pytest.raises(DeniedError, match="expired"):
        callers.identify(signed(SHARED, "HS256", exp=time.time() - 660))


@pytest.mark.parametrize("roles", [None, 5, True, {"caller": True}])
def test_roles_that_are_none_are_none(callers, roles):
    claims = jwt.decode(signed(SHARED, "HS256"), options={"verify_signature": False})
    token = jwt.encode(claims | {"roles": roles}, SHARED, "HS256")
    assert callers.identify(token).roles == ()


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (signed(SHARED, "HS256", exp=time.time() - 3600), "expired"),
        (signed(SHARED, "HS256", exp=10**400), "not good"),
        (signed(SHARED, "HS256", exp=None), "exp"),
        (signed(SHARED, "HS256", sub=None), "sub"),
        (signed(SHARED, "HS256", aud="elsewhere"), "[Aa]udience"),
        (signed(SHARED, "HS256", iss="https://evil.example"), "[Ii]ssuer"),
        (signed(SHARED, "HS256", nbf=time.time() + 3600), "not yet valid"),
        (signed("another secret, and as long as that", "HS256"), "[Ss]ignature"),
        (signed(SHARED, "HS384"), "'HS384' are not taken"),
        (signed(None, "none"), "'none' are not taken"),
        (signed(RSA, "RS256", "r2"), "not known"),
        (signed(RSA, "RS256", "e1"), "not good"),
        (signed(ec.generate_private_key(ec.SECP256R1()), "ES256", "e1"), "[Ss]ignature"),
        ("a.b.c", "not good"),
    ],
)
def test_all_other_jwts_are_refused_and_why(callers, token, says):
    with pytest.raises(DeniedError, match=says):
        callers.identify(token)


def test_a_public_key_is_no_shared_secret(places):
    """Algorithm confusion: HS256 signed with the public key's text, where only keys are taken."""
    callers = open_callers(**places)
    text = public(RSA, "r1")["n"]
    with pytest.raises(DeniedError, match="'HS256' are not taken"):
        callers.identify(signed(text, "HS256", "r1"))
    assert callers.identify(signed(RSA, "RS256", "r1", aud=None, iss=None)).name == "mara"
    callers.close()


def test_what_is_not_there_is_said(places, tmp_path):
    with pytest.raises(DeclarationError, match="gateway-jwt"):
        open_callers(**places, jwt_secret="gateway-jtw")
    secrets = open_secrets(keyfile=places["keyfile"], folder=places["folder"])
    secrets.keep("short", Secret("guess me"))
    with pytest.raises(DeclarationError, match="8 bytes"):
        open_callers(**places, jwt_secret="short")
    for place in (str(tmp_path / "none.json"), "http://127.0.0.1:9/jwks"):
        with pytest.raises(DeclarationError, match="no keys can be read"):
            KeySet(place)


def test_keys_from_a_server_are_renewed_and_outlive_its_absence():
    served: dict[str, Any] = {"keys": [public(EC, "e1")], "nonsense": False}
    asked = threading.Semaphore(0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"[]" if served["nonsense"] else json.dumps(served).encode()
            self.send_response(200 if served["keys"] else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            asked.release()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        keys = KeySet(f"http://127.0.0.1:{server.server_port}/jwks", refresh_s=0.01)
        assert keys.find("e1") == keys.find(None)
        served["keys"] = [public(RSA, "r2")]
        for _ in range(3):  # one may be under way with the old ones
            assert asked.acquire(timeout=20)
        deadline = time.monotonic() + 20
        while True:
            try:
                assert keys.find("r2") is not None
                break
            except DeniedError:
                assert time.monotonic() < deadline
        for broken in ({"nonsense": True}, {"nonsense": False, "keys": []}):
            served.update(broken)
            for _ in range(3):
                assert asked.acquire(timeout=20)
            assert keys.find("r2") is not None
        keys.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
