"""Who may call the gateway, what they are told if not, and how often they may."""

from __future__ import annotations

import hashlib
import time

import httpx
import jwt
import pytest
import trained_models as small
from gateway_site import routes_of, serving
from hypothesis import given
from hypothesis import strategies as st

from onward.core.ports import Secret
from onward.core.ports.callers import CALLERS_ENTRY, TOKENS
from onward.infra.secrets.chain import open_secrets
from onward.stages.serve.gateway.admission.rates import Rates
from onward.stages.serve.gateway.metrics.board import Board
from onward.stages.serve.gateway.settings import CallerConfig, Factory

MODEL = "/v2/models/returns"
SHARED = "a secret that both sides know: 32 bytes"
BURST = 6


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, image):
    """A gateway of two workers that knows ann, bob and whoever has a JWT."""
    folder = tmp_path_factory.mktemp("guarded")
    places = {"keyfile": str(folder / "secrets.json"), "folder": str(folder / "secrets")}
    secrets = open_secrets(**places)
    secrets.keep("gateway-jwt", Secret(SHARED))
    lines = (f"{name} {hashlib.sha256(name.encode()).hexdigest()}" for name in ("ann", "bob"))
    secrets.keep(TOKENS, Secret("\n".join(lines)))
    callers = CallerConfig(
        knower=Factory(entry=CALLERS_ENTRY, arguments={**places, "jwt_secret": "gateway-jwt"}),
        roles={
            "caller": {"predict": ("returns",)},
            "operator": {"observe": ("metrics", "routes"), "predict": ("other",)},
        },
        members={"caller": ("ann",), "operator": ("bob*",)},
        per_s=0.01,
        burst=BURST,
    )
    routes = routes_of((image("plain"), 100.0))
    with serving(folder, routes, callers=callers, workers=2) as opened:
        yield opened


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def ask(site, headers: dict[str, str], path: str = "/predict") -> httpx.Response:
    url = f"{site.server.url}{MODEL}{path}"
    return httpx.post(url, json={"rows": small.rows(1)}, headers=headers)


def test_who_shows_no_good_token_is_not_served(guarded):
    for headers in ({}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer"}):
        answer = ask(guarded, headers)
        assert answer.status_code == 401
        assert "Authorization: Bearer TOKEN" in answer.json()["error"]
        assert answer.headers["www-authenticate"].startswith('Bearer realm="onward"')
    answer = ask(guarded, bearer("eve"))
    assert (answer.status_code, answer.json()) == (401, {"error": "the token is nobody's"})
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert httpx.get(f"{guarded.server.url}/no/such/path").status_code == 401
    assert httpx.get(f"{guarded.server.url}/v2/health/ready").status_code == 200


def test_roles_say_who_may_ask_for_what(guarded):
    ann, bob = bearer("ann"), bearer("bob")
    url = guarded.server.url
    assert ask(guarded, ann).status_code == 200
    assert httpx.get(f"{url}{MODEL}", headers=ann).status_code == 200
    denied = ask(guarded, bob)
    assert (denied.status_code, denied.json()) == (403, {"error": "bob may not predict returns"})
    assert "onward_workers" in httpx.get(f"{url}/metrics", headers=bob).text
    refused = "onward_requests_refused_total"
    board = Board(guarded.folder / "state")
    guarded.until(lambda: any(t.samples[refused].get(("denied",)) for t in board.read()[0]))
    answer = httpx.get(f"{url}/routes", headers=ann)
    assert (answer.status_code, answer.json()["error"]) == (403, "ann may not observe routes")
    assert httpx.get(f"{url}/routes", headers=bob).json()["returns"]["version"]


def test_a_jwt_brings_roles_of_its_own_until_it_expires(guarded):
    def token(name: str, roles: list[str], seconds: float) -> dict[str, str]:
        claims = {"sub": name, "roles": roles, "exp": time.time() + seconds}
        return bearer(jwt.encode(claims, SHARED, "HS256"))

    assert ask(guarded, token("mara", ["caller", "unheard of"], 60)).status_code == 200
    assert ask(guarded, token("mara", ["unheard of"], 60)).status_code == 403
    late = ask(guarded, token("mara", ["caller"], -60))
    assert (late.status_code, "expired" in late.json()["error"]) == (401, True)


def test_a_caller_has_one_bucket_over_all_workers(guarded):
    """Each request has a connection of its own: both workers are asked."""
    claims = {"sub": "often", "roles": ["caller"], "exp": time.time() + 600}
    often = bearer(jwt.encode(claims, SHARED, "HS256"))
    answers = [ask(guarded, often) for _ in range(BURST + 2)]
    assert [a.status_code for a in answers] == [200] * BURST + [429] * 2
    assert answers[0].headers["ratelimit-policy"] == f'"caller";q={BURST};w=600'
    assert [a.headers["ratelimit"].split(";")[1] for a in answers[:BURST]] == [
        f"r={left}" for left in reversed(range(BURST))
    ]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 100
    assert answers[-1].json() == {"error": "often calls too often"}
    other = bearer(jwt.encode(claims | {"sub": "seldom"}, SHARED, "HS256"))
    assert ask(guarded, other).status_code == 200


def test_without_names_each_address_has_a_bucket(tmp_path, image):
    callers = CallerConfig(per_s=0.01, burst=2)
    with serving(tmp_path, routes_of((image("plain"), 100.0)), callers=callers) as site:
        assert [ask(site, {}).status_code for _ in range(3)] == [200, 200, 429]
        assert site.client.get("/v2/health/live").status_code == 200


SECOND = 1_000_000_000


@given(
    gaps=st.lists(st.integers(0, 3 * SECOND), min_size=1, max_size=60),
    per_s=st.sampled_from([0.5, 1.0, 4.0]),
    burst=st.integers(1, 5),
)
def test_a_bucket_gives_what_a_bucket_of_tokens_would(tmp_path_factory, gaps, per_s, burst):
    """Against the plain form: tokens that flow in by time and go out one by one."""
    rates = Rates(per_s, burst, tmp_path_factory.mktemp("rates") / "rates")
    now, tokens, gap = SECOND, burst * round(SECOND / per_s), round(SECOND / per_s)
    for step in gaps:
        now += step
        tokens = min(burst * gap, tokens + step)
        left, wait = rates.take("ann", now)
        if tokens >= gap:
            tokens -= gap
            assert left == tokens // gap
            assert wait == burst * gap - tokens
        else:
            assert (left, wait) == (-1, gap - tokens)
    rates.close()


def test_processes_share_buckets_and_callers_do_not(tmp_path):
    one, other = (Rates(1.0, 3, tmp_path / "rates") for _ in range(2))
    assert [r.take("ann", SECOND)[0] for r in (one, other, one, other)] == [2, 1, 0, -1]
    assert other.take("bob", SECOND)[0] == 2
    for rates in (one, other):
        rates.close()
    again = Rates(1.0, 3, tmp_path / "rates")  # after a restart of the machine: an earlier clock
    assert again.take("ann", 5)[0] == 2
    again.close()


def test_a_full_table_forgets_whose_bucket_is_fullest(tmp_path, monkeypatch):
    monkeypatch.setattr("onward.stages.serve.gateway.admission.rates.SLOTS", 8)
    rates = Rates(1.0, 100, tmp_path / "rates")
    for caller in range(8):
        for _ in range(caller + 2):
            rates.take(str(caller), SECOND)
    rates.take("new", SECOND)
    assert rates.take("7", SECOND)[0] == 90
    assert rates.take("1", SECOND)[0] == 96
    assert rates.take("0", SECOND)[0] == 99  # begun anew
    rates.close()
