"""Settings: flags over environment over file over defaults, each mistake named with its line."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from onward.app.settings.listing import settings_of
from onward.app.settings.sections import Settings, sections
from onward.app.settings.sources import read_settings
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


def test_a_value_of_the_environment_is_named_by_its_variable(tmp_path: Path) -> None:
    for value, expected in (("x", "a whole number"), ("70000", "0 to 65,535")):
        with pytest.raises(DeclarationError, match=r"^ONWARD_GATEWAY_PORT is") as no:
            read(tmp_path, "", ONWARD_GATEWAY_PORT=value)
        assert no.value.location is None
        assert expected in str(no.value)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("ONWARD_GATWAY_PORT", "did you mean ONWARD_GATEWAY_PORT?"),
        ("ONWARD_TOKNE", "did you mean ONWARD_TOKEN?"),
        ("ONWARD_SECRETS_FODLER", "did you mean ONWARD_SECRETS_FOLDER?"),
        ("ONWARD_X", "ONWARD_<SECTION>_<NAME>, such as ONWARD_GATEWAY_PORT"),
        ("ONWARD_GATEWAY_PROT", "did you mean ONWARD_GATEWAY_PORT?"),
    ],
)
def test_a_variable_that_nobody_would_hear_is_refused(
    tmp_path: Path, variable: str, meant: str
) -> None:
    with pytest.raises(DeclarationError, match=f"there is no setting {variable}") as no:
        read(tmp_path, "", **{variable: "9000"})
    assert meant in str(no.value)
    assert f"`unset {variable}`" in str(no.value)
    assert "`onward settings` lists every name" in str(no.value)


def test_variables_that_are_no_settings_of_ours_are_let_be(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text('ow.sql("postgresql://${env:ONWARD_SHOP_DB}@db/shop")')
    of_kubernetes = {
        "ONWARD_SHOP_SERVICE_HOST": "10.0.0.7",
        "ONWARD_SHOP_SERVICE_PORT": "8080",
        "ONWARD_SHOP_SERVICE_PORT_HTTP": "8080",
        "ONWARD_SHOP_PORT": "tcp://10.0.0.7:8080",
        "ONWARD_SHOP_PORT_8080_TCP_ADDR": "10.0.0.7",
        "ONWARD_GATEWAY_PORT": "tcp://10.0.0.8:8080",  # of a Service called onward-gateway
    }
    ours = {"ONWARD_TOKEN": "t", "ONWARD_USER": "ada", "ONWARD_SECRET_SHOP_DB": "s"}
    text = '[alerts]\nwebhook = "${env:ONWARD_HOOK}"\n'
    named = {"ONWARD_HOOK": "h", "ONWARD_SHOP_DB": "ada:pw"}
    settings = read(tmp_path, text, **of_kubernetes, **ours, **named)
    assert settings.gateway.port == 8080


def test_every_setting_is_listed_with_who_said_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://ada:pw@db/shop"
    write(tmp_path, f"[gateway]\nlog_keep = '36h'\n[online]\nurl = '{url}'\n[lineage]\napi_key='k'")
    monkeypatch.setenv("ONWARD_GATEWAY_PORT", "9000")
    monkeypatch.setenv("ONWARD_GATEWAY_PROT", "9001")
    found = settings_of(tmp_path)
    listed = {f"{e.section}.{e.name}": e for e in found.entries}
    known = {f"{s}.{f.name}" for s, kind in sections().items() for f in fields(kind)}
    assert listed.keys() == known
    shown = {name: (e.value, e.place) for name, e in listed.items()}
    assert shown["gateway.port"] == ("9000", "ONWARD_GATEWAY_PORT")
    assert shown["gateway.log_keep"] == ('"36h"', "onward.toml:2")
    assert shown["gateway.log_bound"] == ('"20ms"', "default")
    assert shown["limits.deadline"] == ('"0s"', "default")
    assert shown["callers.known"] == ("false", "default")
    assert shown["online.url"] == ('"postgresql://ada:***@db/shop"', "onward.toml:4")
    assert shown["lineage.api_key"] == ('"***"', "onward.toml:6")
    assert listed["gateway.port"].default == "8080"
    assert found.unknown == {"ONWARD_GATEWAY_PROT": "did you mean ONWARD_GATEWAY_PORT?"}
    assert found.about["limits"].startswith("``[limits]``: how much each")
    with pytest.raises(NotFoundError, match="no section 'gatway'"):
        settings_of(tmp_path, "gatway")


def test_every_default_can_be_written_as_it_is_shown(tmp_path: Path) -> None:
    write(tmp_path, "")
    shown = settings_of(tmp_path).entries
    lines = [f"[{s}]\n" + "".join(f"{e.name} = {e.default}\n" for e in shown if e.section == s)
             for s in sections()]  # fmt: skip
    assert read(tmp_path, "".join(lines)) == read(tmp_path, "")
    for entry in shown:
        named = {entry.variable: entry.default.strip('"')}
        assert read(tmp_path, "", **named) == read(tmp_path, "")


@pytest.mark.parametrize("name", ["deadline", "hang", "drain"])
@pytest.mark.parametrize("zero", ["0", "'0s'", "'0 ms'"])
def test_no_time_at_all_can_be_said_where_it_means_something(
    tmp_path: Path, name: str, zero: str
) -> None:
    settings = read(tmp_path, f"[limits]\n{name} = {zero}\n")
    assert getattr(settings.limits, name) == timedelta(0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[limits]\nreceive = '0s'\n", "a positive number"),
        ("[triggers]\npoll = 0\n", "a positive number"),
        ("[limits]\ndeadline = '-1s'\n", "'0s' for none"),
        ("[limits]\nhang = false\n", "'0s' for none"),
    ],
)
def test_where_it_means_nothing_it_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(DeclarationError) as no:
        read(tmp_path, text)
    assert expected in str(no.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[alerts]\nwebhook = 'host'\n[gateway]\nhost = 'port'\nport = 'x'\n", 5),
        ("# gateway.port\ngateway.port = 'x'\n", 2),
        ("# gateway\n\ngateway = {port = 'x'}\n", 3),
        ("[gateway]\nlog_bound = '1s'\nlog = 'fsat'\n", 3),
    ],
)
def test_the_line_is_the_settings_own(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(DeclarationError) as no:
        read(tmp_path, text)
    assert no.value.location is not None
    assert no.value.location.line == line


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
