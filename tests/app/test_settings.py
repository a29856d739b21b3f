"""Settings: flags over environment over file over defaults, each mistake named with its line."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from onward.app.settings import Settings, read_settings
from onward.core.errors import DeclarationError, NotFoundError


def write(folder: Path, text: str) -> Path:
    (folder / "onward.toml").write_text(text)
    return folder


def read(folder: Path, text: str, **environment: str) -> Settings:
    return read_settings(write(folder, text), environment=environment)


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    settings = read(tmp_path, "")
    assert settings.pipeline == tmp_path / "pipeline.py"
    assert settings.state == tmp_path / ".onward"
    assert settings.gateway.port == 8080
    assert settings.triggers.poll == timedelta(seconds=5)


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    write(tmp_path, "[gateway]\nport = 1\nhost = 'a'\n[project]\nname = 'file'\n")
    settings = read_settings(
        tmp_path,
        environment={"ONWARD_GATEWAY_PORT": "2", "ONWARD_GATEWAY_HOST": "b"},
        flags={"gateway.port": 3},
    )
    assert (settings.gateway.port, settings.gateway.host) == (3, "b")
    assert settings.project.name == "file"


@pytest.mark.parametrize(("text", "value"), [("true", True), ("0", False), ("False", False)])
def test_the_environment_speaks_of_truth_in_words(tmp_path: Path, text: str, value: bool) -> None:
    settings = read(tmp_path, "", ONWARD_TRIGGERS_ON_DATA=text, ONWARD_TRIGGERS_POLL="250ms")
    assert settings.triggers.on_data is value
    assert settings.triggers.poll == timedelta(milliseconds=250)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[gatway]\nport = 1\n", 1, ["'gatway'", "did you mean 'gateway'"]),
        ("[gateway]\nprot = 1\n", 2, ["'prot'", "did you mean 'port'"]),
        ("[gateway]\nport = 'x'\n", 2, ["'x'", "a whole number, such as 8080"]),
        ("[gateway]\nport = 70000\n", 2, ["70,000", "0 to 65,535"]),
        ("[gateway]\nworkers = 0\n", 2, ["workers is 0", "1 or more"]),
        ("[limits]\nrows = -1\n", 2, ["rows is -1", "0 or more"]),
        ("[telemetry]\ntrace_ratio = 1.5\n", 2, ["trace_ratio is 1.5", "0 to 1"]),
        ("[compute]\nkind = 'rya'\n", 2, ["there is no kind 'rya'", "did you mean 'ray'"]),
        ("[gateway]\non_log_failure = 'refus'\n", 2, ["did you mean 'refuse'"]),
        ("[triggers]\npoll = 'soon'\n", 2, ["'soon'", "'30s'"]),
        ("[triggers]\non_data = 'maybe'\n", 2, ["'maybe'", "true or false, such as true"]),
        ("poll = 3\n", 1, ["no section 'poll'"]),
    ],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, words: list[str]
) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(tmp_path, text)
    assert caught.value.location is not None
    assert caught.value.location.line == line
    for word in words:
        assert word in str(caught.value)


def test_broken_toml_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match="not valid TOML"):
        read(tmp_path, "[gateway\n")


def test_a_folder_without_the_file_is_no_project(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"onward init NAME"):
        read_settings(tmp_path)


def test_stores_are_opened_by_what_their_tables_say(tmp_path: Path) -> None:
    text = '[storage.s3]\nsecret = "${secret:S3}"\n[storage.s3.client_kwargs]\nverify = false\n'
    settings = read(tmp_path, text)
    assert settings.storage == {
        "s3": {"secret": "${secret:S3}", "client_kwargs": {"verify": False}}
    }
    assert "${secret:S3}" not in repr(settings)
    with pytest.raises(DeclarationError, match="s3 is no table") as no:
        read(tmp_path, '[storage]\ns3 = "key"\n')
    assert no.value.location is not None
    assert no.value.location.line == 2
