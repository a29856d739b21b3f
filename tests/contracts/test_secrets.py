"""What every store of secrets promises."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from onward.core.errors import OnwardError
from onward.core.ports import Secret, Secrets
from onward.infra.secrets.chain import ChainedSecrets
from onward.infra.secrets.environment import EnvironmentSecrets, variable
from onward.infra.secrets.folder import FolderSecrets
from onward.infra.secrets.keyfile import KeyFile

Open = Callable[[Path, dict[str, str]], Secrets]


def environment(folder: Path, given: dict[str, str]) -> Secrets:
    return EnvironmentSecrets({"HOME": "/", **{variable(n): text for n, text in given.items()}})


def mounted(folder: Path, given: dict[str, str]) -> Secrets:
    for name, text in given.items():
        (folder / name).write_text(text + "\n")
    return FolderSecrets(folder)


def keyfile(folder: Path, given: dict[str, str]) -> Secrets:
    store = KeyFile(folder / "secrets.json")
    for name, text in given.items():
        store.keep(name, Secret(text))
    return store


def chain(folder: Path, given: dict[str, str]) -> Secrets:
    return ChainedSecrets((environment(folder, {}), keyfile(folder, given)))


READ_ONLY = {"environment": environment, "mounted": mounted}
STORES: dict[str, Open] = {**READ_ONLY, "keyfile": keyfile, "chain": chain}


@pytest.mark.parametrize("kind", STORES)
def test_gives_what_is_stored_and_none_for_the_rest(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path, {"shop-db": "s3cret wörd ", "other": "x"})
    found = store.find("shop-db")
    assert found is not None
    assert found.reveal() == "s3cret wörd "
    assert store.find("shop") is None
    assert [entry.name for entry in store.entries()] == ["other", "shop-db"]


@pytest.mark.parametrize("kind", STORES)
def test_nothing_that_is_shown_holds_a_value(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path, {"shop-db": "hunter2"})
    found = store.find("shop-db")
    assert "hunter2" not in f"{found} {found!r} {store!r} {store.entries()}"
    with pytest.raises(TypeError):
        pickle.dumps(found)


@pytest.mark.parametrize("kind", STORES)
def test_an_empty_store_holds_nothing(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path, {})
    assert store.find("shop-db") is None
    assert list(store.entries()) == []


@pytest.mark.parametrize("kind", READ_ONLY)
def test_what_others_provide_is_not_changed(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path, {"shop-db": "old"})
    with pytest.raises(OnwardError) as refused:
        store.keep("shop-db", Secret("new"))
    assert "new" not in str(refused.value)
    assert store.find("shop-db").reveal() == "old"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["keyfile", "chain"])
def test_keeps_the_newest_or_the_first(kind: str, tmp_path: Path) -> None:
    store = STORES[kind](tmp_path, {})
    assert store.keep("key", Secret("one"), first=True).reveal() == "one"
    assert store.keep("key", Secret("two"), first=True).reveal() == "one"
    assert store.keep("key", Secret("three")).reveal() == "three"
    assert store.find("key").reveal() == "three"  # type: ignore[union-attr]
