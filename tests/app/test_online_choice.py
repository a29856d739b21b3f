"""The online store that the settings choose, for the runs and for the gateway."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from onward.app.gateway.config import config
from onward.app.online import open_online, opener
from onward.app.settings.sections import Settings
from onward.app.settings.sources import read_settings
from onward.core.errors import DeclarationError


def chosen(folder: Path, text: str, **environment: str) -> Settings:
    (folder / "onward.toml").write_text(text)
    return read_settings(folder, environment=environment)


def test_a_project_says_nothing_and_has_a_file_of_its_own(tmp_path: Path) -> None:
    settings = chosen(tmp_path, "")
    store = open_online(settings)
    assert not store.remote
    store.close()
    assert (tmp_path / ".onward" / "online.db").exists()


@pytest.mark.parametrize(
    ("store", "url"),
    [("redis", "redis://:${secret:PASS}@h:1/0"), ("postgres", "postgresql://o:${secret:PASS}@h/o")],
)
def test_a_server_is_chosen_by_name_and_url_and_its_password_is_a_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, url: str
) -> None:
    monkeypatch.setenv("ONWARD_SECRET_PASS", "hunter2")
    text = f'[project]\nname = "shop"\n[online]\nstore = "{store}"\ntimeout = "100ms"\n'
    settings = chosen(tmp_path, text, ONWARD_ONLINE_URL=url)
    opened = open_online(settings)
    assert opened.remote
    assert "hunter2" in repr(vars(opened)), "its library has the password"
    opened.close()
    made = config(settings, clock="system", port=0)
    assert made.online == opener(settings, timeout_s=0.1)
    assert made.online_timeout_s == 0.1
    assert made.online is not None
    assert made.online.arguments["namespace"] == "shop"
    assert "hunter2" not in repr((settings, made)), "what is written to disk has not"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('store = "rediss"', "did you mean 'redis'"),
        ('store = "redis"', "url is no URL"),
        ('store = "redis"\nurl = "postgresql://u:hunter2@h/d"', "url is a postgresql:// one"),
        ('store = "postgres"\nurl = "host=h password=hunter2"', "beginning with postgresql://"),
    ],
)
def test_a_wrong_choice_is_refused_without_the_password(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(DeclarationError, match=said) as caught:
        open_online(chosen(tmp_path, f"[online]\n{text}\n"))
    assert "hunter2" not in str(caught.value)


def test_a_store_whose_library_is_not_installed_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "onward.infra.online.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    settings = chosen(tmp_path, '[online]\nstore = "redis"\nurl = "redis://localhost"\n')
    with pytest.raises(DeclarationError, match="needs the package 'redis'") as caught:
        open_online(settings)
    assert "onward[redis]" in str(caught.value)
