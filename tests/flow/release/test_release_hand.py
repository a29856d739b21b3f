"""A person's hand on a release: paused, promoted, approved, taken back; and who was first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

import onward as ow
from onward.core.errors import NotFoundError
from onward.flow.happened import happened
from onward.flow.release import loop as releasing
from onward.flow.release import routing, steer
from onward.flow.release.approval import approvals, asked_for
from onward.flow.release.loop import advance, rollback
from onward.flow.release.releases import current, decisions
from onward.stages.serve.release.decision import decide_again
from release_shop import CANARY, START, Shops, image


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shops:
    """Make a shop whose first version serves."""
    return Shops(tmp_path, monkeypatch)


def test_the_record_of_a_release_ends_with_what_happened_last(shop):
    it = shop(CANARY)
    it.begin(2)
    steer.promote(it.site, "m", "reviewed", by="ada")
    release = current(it.site.ledger, "m")
    assert (release.arm, release.by, release.percent) == ("candidate", "ada", 100.0)
    it.begin(3)
    steer.abort(it.site, "m", "no", by="ada")
    taken = rollback(it.site, "m", "calls", by="bob")
    assert it.routes() == {"champion": (1, 100.0)}
    assert taken.endings == (
        "version 3 was rolled back at 2026-01-01 00:00 by ada: no",
        "version 2 was taken back at 2026-01-01 00:00 by bob, and version 1 serves again: calls",
    )
    assert current(it.site.ledger, "m") == taken
    with pytest.raises(NotFoundError, match="has no predecessor"):
        rollback(it.site, "m", "once more", by="bob")
    assert current(it.site.ledger, "m").percent == 0.0


@pytest.mark.parametrize("harm", [0.01, 0.5])
def test_whoever_tells_the_ledger_first_decides(shop, monkeypatch, harm):
    """A person promotes, or aborts, while the loop has judged and not yet acted."""
    it = shop(CANARY)
    it.begin(2)
    it.errors = {"candidate": harm}
    judge = releasing.judge

    def beaten(*given):
        decision = judge(*given)
        hand = steer.abort if harm < 0.1 else steer.promote
        hand(it.site, "m", "by hand", by="ada")
        return decision

    monkeypatch.setattr(releasing, "judge", beaten)
    assert it.turn().action == ("advance" if harm < 0.1 else "rollback")
    release = current(it.site.ledger, "m")
    assert (release.ended, release.by) == ("rolledback" if harm < 0.1 else "promoted", "ada")
    assert it.routes() == {"champion": (1 if harm < 0.1 else 2, 100.0)}
    assert "stepped" not in it.told()
    assert advance(it.site, it.definition) is None


def test_a_rollback_is_not_undone_by_who_was_about_to_write_routes(shop, monkeypatch):
    """The loop has read the ledger and not yet written the routes; a person takes it back."""
    it = shop(CANARY)
    it.begin(2)
    write = routing.write_routes

    def late(folder, routes):
        monkeypatch.setattr(routing, "write_routes", write)
        assert rollback(it.site, "m", "calls", by="ada").ended == "rolledback"
        return write(folder, routes)

    monkeypatch.setattr(routing, "write_routes", late)
    routing.enact(it.site, "m")
    assert it.routes() == {"champion": (1, 100.0)}


def test_a_run_that_comes_back_to_a_release_that_has_ended_says_so(shop):
    it = shop(CANARY)
    it.begin(2)
    ended = steer.abort(it.site, "m", "no", by="ada")
    again = it.begin(2)
    assert again == ended
    assert again.standing == again.endings[-1]


def test_an_older_run_that_comes_back_does_not_supersede_a_newer_release(shop):
    it = shop(CANARY)
    it.begin(2)
    it.begin(3)
    assert it.begin(2).reason == "superseded by version 3"
    assert it.routes() == {"champion": (1, 70.0), "candidate": (3, 30.0)}


def test_a_verdict_on_a_release_is_none_on_the_one_that_a_run_began_meanwhile(shop, monkeypatch):
    it = shop(CANARY)
    it.begin(2)
    judge = releasing.judge

    def superseded(*given):
        decision = judge(*given)
        it.begin(3)
        return decision

    monkeypatch.setattr(releasing, "judge", superseded)
    assert it.turn().action == "advance"
    assert it.told()[-3:] == ["started", "ended", "started"]
    assert it.routes() == {"champion": (1, 70.0), "candidate": (3, 30.0)}


def test_a_step_that_is_told_after_the_end_takes_nothing_on(shop, monkeypatch):
    """A person aborts after the loop has looked whether anybody did."""
    it = shop(CANARY)
    it.begin(2)
    act = releasing._act

    def beaten(*given):
        steer.abort(it.site, "m", "by hand", by="ada")
        act(*given)

    monkeypatch.setattr(releasing, "_act", beaten)
    assert it.turn().action == "advance"
    assert it.told()[-2:] == ["ended", "stepped"]
    release = current(it.site.ledger, "m")
    assert (release.ended, release.step, release.shares) == (
        "rolledback", 2, {1: {"champion": 70.0, "candidate": 30.0}}
    )  # fmt: skip
    assert it.routes() == {"champion": (1, 100.0)}


def test_who_is_promoted_while_a_run_begins_the_next_is_what_that_is_compared_with(
    shop, monkeypatch
):
    it = shop(CANARY)
    it.begin(2)
    end = releasing.end

    def promoted_first(site, release, *given, **named):
        monkeypatch.setattr(releasing, "end", end)
        steer.promote(site, "m", "shown to be safe", by="")
        return end(site, release, *given, **named)

    monkeypatch.setattr(releasing, "end", promoted_first)
    release = it.begin(3)
    assert (release.version, release.champion.model.version) == (3, 2)
    assert it.routes() == {"champion": (2, 70.0), "candidate": (3, 30.0)}


def test_a_paused_release_goes_nowhere_but_back(shop):
    it = shop(CANARY)
    it.begin(2)
    assert steer.pause(it.site, "m", "a holiday", by="ada").paused == "a holiday"
    held = it.turn()
    assert held.action == "hold"
    assert held.reason.startswith("paused (a holiday), else advance: safe at 50 %")
    assert steer.resume(it.site, "m", "back again", by="ada").paused == ""
    with pytest.raises(NotFoundError, match="is not paused"):
        steer.resume(it.site, "m", "twice", by="ada")
    assert it.turn().action == "advance"
    steer.pause(it.site, "m", "again", by="ada")
    it.errors = {"candidate": 0.5}
    assert it.turn().action == "rollback"
    assert it.routes() == {"champion": (1, 100.0)}


def test_a_paused_test_keeps_no_arm_that_does_harm(shop):
    it = shop(ow.ABTest(split={"candidate": 30, "v2": 30}, bake="9d", minimum=200))
    happened(it.site, "image.packaged", "m", key="2", image=image(2))
    it.begin(3)
    steer.pause(it.site, "m", "a holiday", by="ada")
    it.errors = {"v2": 0.5}
    assert it.turn().action == "advance"
    assert it.routes() == {"champion": (1, 70.0), "candidate": (3, 30.0), "v2": (2, 0.0)}
    assert current(it.site.ledger, "m").paused == "a holiday"
    assert it.turn().action == "hold"


def test_promoted_and_aborted_by_hand(shop):
    it = shop(CANARY)
    with pytest.raises(NotFoundError, match="version 1 was promoted"):
        steer.pause(it.site, "m", "nothing to pause", by="ada")
    it.begin(2)
    with pytest.raises(NotFoundError, match="no arm of this release 'v9'"):
        steer.promote(it.site, "m", "", by="ada", arm="v9")
    assert steer.promote(it.site, "m", "reviewed", by="ada").ended == "promoted"
    assert it.routes() == {"champion": (2, 100.0)}
    told = it.site.ledger.events(kind="release.ended", newest_first=True, limit=1)[0].event
    assert (told.facts["by"], told.facts["reason"]) == ("ada", "reviewed")
    it.begin(3)
    steer.abort(it.site, "m", "no", by="ada")
    assert it.routes() == {"champion": (2, 100.0)}


def test_a_promotion_waits_for_approval_where_access_says_so(shop):
    it = shop(CANARY, access=SimpleNamespace(approvals=("promote",)))
    it.begin(2)
    assert it.turn().action == "advance"
    waits = it.turn()
    assert waits.action == "hold"
    [asked] = it.site.ledger.events(kind="approval.requested")
    request = asked.event.subject
    assert waits.reason.startswith(f"waits for `onward approve {request}`")
    assert (asked.event.facts["action"], asked.event.facts["target"]) == ("promote", "m")
    [waiting] = approvals(it.site.ledger)
    assert (waiting.state, waiting.about) == ("waits", "m, version 2 (sha256:2…)")
    happened(it.site, "approval.given", request, key=request, by="bob", reason="")
    assert it.turn().action == "promote"
    told = it.site.ledger.events(kind="release.ended", newest_first=True, limit=1)[0].event
    assert told.facts["approved_by"] == "bob"
    [given] = approvals(it.site.ledger)
    assert (given.state, given.approver) == ("given", "bob")


def test_an_approval_is_of_one_version_as_it_was_packaged(shop):
    it = shop(CANARY, access=SimpleNamespace(approvals=("promote",)))
    it.begin(2)
    it.turn()
    it.turn()
    [second] = approvals(it.site.ledger)
    happened(it.site, "approval.given", second.request, key=second.request, by="bob", reason="")
    it.begin(3)
    it.turn()
    assert it.turn().action == "hold"
    states = {a.images[0].version: a.state for a in approvals(it.site.ledger)}
    assert states == {2: "given", 3: "waits"}
    it.begin(4)
    assert [a.state for a in approvals(it.site.ledger)] == ["given", "void"]
    again = replace(image(4), digest="sha256:4b")
    requests = {asked_for("ada", "promote", "m", [i]).request for i in (image(4), again)}
    assert len(requests) == 2


def test_a_promotion_that_nobody_approves_falls_back_at_the_deadline(shop):
    it = shop(CANARY, access=SimpleNamespace(approvals=("promote",)))
    it.begin(2)
    it.turn()
    it.turn()
    it.clock.advance(START + timedelta(days=15))
    decision = it.turn()
    assert decision.action == "rollback"
    assert decision.reason.startswith("nobody approved it in time")
    [_, kept] = decisions(it.site.ledger, current(it.site.ledger, "m"))
    assert (kept.action, kept.allowed) == ("rollback", "promote")
    assert decide_again(kept).action == "promote"
