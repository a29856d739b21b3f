"""Secrets where they lie: the key file's mode, mounted folders, several stores as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onward.core.errors import CorruptError, DeclarationError
from onward.core.ports import Secret
from onward.infra.secrets.chain import open_secrets
from onward.infra.secrets.environment import EnvironmentSecrets
from onward.infra.secrets.folder import FolderSecrets
from onward.infra.secrets.keyfile import KeyFile


def test_the_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        KeyFile(tmp_path / "state" / "secrets.json").keep("a", Secret("1"))
    finally:
        os.umask(before)
    assert (tmp_path / "state" / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    store = KeyFile(tmp_path / "secrets.json")
    store.keep("a", Secret("1"))
    (tmp_path / "secrets.json").chmod(0o640)
    with pytest.raises(CorruptError, match="chmod 600"):
        store.find("a")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_a_damaged_key_file_is_refused_and_not_shown(text: str, tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(CorruptError, match="damaged"):
        KeyFile(path).find("a")


def test_processes_that_make_a_key_at_once_agree_on_one(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from onward.core.ports import Secret\n"
        "from onward.infra.secrets.keyfile import KeyFile\n"
        "store = KeyFile(Path(sys.argv[1])); sys.stdin.readline()\n"
        "print(store.keep('key', Secret(sys.argv[2]), first=True).reveal())"
    )
    path = str(tmp_path / "secrets.json")
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, path, str(n)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for n in range(3)
    ]  # fmt: skip
    said = {process.communicate("go\n")[0] for process in started}
    assert len(said) == 1
    assert json.loads(Path(path).read_text())["key"] == said.pop().strip()


def test_kubernetes_own_entries_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "db").write_text("x")
    (tmp_path / "db").symlink_to(tmp_path / "..data" / "db")
    assert [entry.name for entry in FolderSecrets(tmp_path).entries()] == ["db"]
    assert FolderSecrets(tmp_path / "db").entries() == []


def test_a_mounted_secret_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"\xff\xfe")
    with pytest.raises(CorruptError, match="UTF-8"):
        FolderSecrets(tmp_path).find("db")


def test_names_in_an_environment_are_found_in_capitals() -> None:
    store = EnvironmentSecrets({"ONWARD_SECRET_SHOP_DB": "x"})
    assert store.find("shop-db").reveal() == "x"  # type: ignore[union-attr]
    assert [e.place for e in store.entries()] == ["environment"]


def test_the_first_store_that_has_a_secret_gives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_secrets(str(tmp_path / "secrets.json"), str(tmp_path))
    store.keep("db", Secret("file"))
    assert store.find("db").reveal() == "file"  # type: ignore[union-attr]
    (tmp_path / "db").write_text("mounted")
    assert store.find("db").reveal() == "mounted"  # type: ignore[union-attr]
    monkeypatch.setenv("ONWARD_SECRET_DB", "environment")
    assert store.find("db").reveal() == "environment"  # type: ignore[union-attr]
    assert store.keep("db", Secret("y"), first=True).reveal() == "environment"
    assert [(e.name, e.place) for e in store.entries() if e.name == "db"] == [("db", "environment")]


@pytest.mark.parametrize("name", ["../lock", "a/b", "", ".hidden"])
def test_a_name_cannot_lead_out_of_the_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="cannot name a secret"):
        open_secrets(str(tmp_path / "k.json"), str(tmp_path)).find(name)
