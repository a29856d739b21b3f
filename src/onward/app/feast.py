"""Importing a Feast repository: its sources, views and services as declarations of a pipeline file.

Feast's own command tells what a repository holds (``feast registry-dump``); Feast need not be
installed beside Onward. What has no counterpart is left out and said, never guessed.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from keyword import kwlist
from pathlib import Path
from typing import Any, Final

from onward.app.feast_functions import IMPORTS, KINDS, LISTED, Function, LeftOutError
from onward.app.feast_functions import translate as translate_function
from onward.core.errors import DataError, NotFoundError

_NO_ENTITY: Final = "__dummy"
_NAMED: Final = {
    "featureViews": "view", "onDemandFeatureViews": "view", "featureServices": "service",
}  # fmt: skip
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A Python module's text, and in words what it leaves out or changes."""

    code: str
    sources: tuple[str, ...]
    views: tuple[str, ...]
    functions: tuple[str, ...]
    services: tuple[str, ...]
    notes: tuple[str, ...]


def registry(path: Path, *, feast: str = "feast") -> Mapping[str, Any]:
    """Return what a repository holds: asked of Feast for a folder, read from a dump's file.

    Parameters
    ----------
    path
        The folder with ``feature_store.yaml``, or a file that ``feast registry-dump`` wrote.
    feast
        Feast's command, for a folder: a name on the path, or where it is.

    Raises
    ------
    NotFoundError
        There is nothing at `path`, or no such command.
    DataError
        Feast fails, or what it says is no registry.
    """
    if path.is_dir():
        text = _dumped(path, feast)
    elif path.is_file():
        text = path.read_text()
    else:
        raise NotFoundError(
            f"there is nothing at {path}",
            expected="a Feast repository's folder, or a file that `feast registry-dump` wrote",
        )
    begin = text.find("{")  # warnings may come before
    try:
        found: Any = json.loads(text[begin:]) if begin >= 0 else None
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or "featureViews" not in found:
        raise DataError(
            f"{path} gives no Feast registry with feature views",
            expected="what `feast registry-dump` prints, after `feast apply`",
        )
    return found


def _dumped(folder: Path, feast: str) -> str:
    try:
        done = subprocess.run(
            [feast, "registry-dump"], cwd=folder, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise NotFoundError(
            f"there is no command {feast!r}",
            expected="Feast's, in whatever environment it is installed",
            next_step="name it: --feast /path/to/venv/bin/feast; or give a file that "
            "`feast registry-dump` wrote",
        ) from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise DataError(f"`{feast} registry-dump` failed in {folder}: {last}")
    return done.stdout


def translate(found: Mapping[str, Any]) -> Imported:
    """Return a registry's declarations as Onward's."""
    book = _Book(join_keys={e["spec"]["name"]: e["spec"]["joinKey"] for e in found["entities"]})
    for section, kind in _NAMED.items():  # before sources, which give way
        for each in found.get(section, ()):
            _name(kind, each["spec"]["name"], book)
    views = [text for v in found["featureViews"] if (text := _view(v["spec"], book))]
    functions = [
        made for v in found.get("onDemandFeatureViews", ()) if (made := _on_demand(v["spec"], book))
    ]
    for kind, name in _elsewhere(found):
        book.notes.append(f"{kind} {name!r} has no counterpart and is left out")
    services = [
        text for s in found.get("featureServices", ()) if (text := _service(s["spec"], book))
    ]
    modules = {module for function in functions for module in function.modules}
    imports = [
        *(IMPORTS[module] for module in sorted(modules)),
        *(["from ibis import _"] if views else []),
        *([""] if views or modules else []),
        "import onward as ow",
    ]
    notes = tuple(dict.fromkeys(book.notes))
    title = f'"""Features of {found.get("project") or "a repository"}, imported from Feast."""'
    blocks = [
        f"{title}\n\n" + "\n".join(imports),
        *book.sources.values(),
        *views,
        *([LISTED] if any(function.listed for function in functions) else []),
        *(function.text for function in functions),
        *services,
    ]
    return Imported(
        code="\n\n\n".join(blocks) + "\n",
        sources=tuple(book.sources),
        views=tuple(name for name, _ in book.views.values()),
        functions=tuple(book.functions.values()),
        services=tuple(book.services),
        notes=notes,
    )


@dataclass(slots=True)
class _Book:
    """What has been translated so far.

    `views`, with the features that were taken over, and `functions` are by Feast's names for them;
    `names` are ours by kind and Feast's name, no two alike.
    """

    join_keys: Mapping[str, str]
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    views: dict[str, tuple[str, Sequence[str]]] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _view(spec: Mapping[str, Any], book: _Book) -> str | None:
    name = _name("view", spec["name"], book)
    keys = [book.join_keys.get(e, e) for e in spec.get("entities", ()) if e != _NO_ENTITY]
    batch = spec.get("batchSource")
    if not keys or batch is None:
        what = "no entity" if batch else "no batch source"
        book.notes.append(f"feature view {name!r} has {what} and is left out")
        return None
    kept = [f["name"] for f in spec.get("features", ()) if f.get("valueType") in KINDS]
    for feature in spec.get("features", ()):
        if feature["name"] not in kept:
            book.notes.append(
                f"feature {feature['name']!r} of {name!r} is {feature.get('valueType')}: a feature "
                "is a number, a boolean or text; it is left out"
            )
    if spec.get("streamSource"):
        book.notes.append(
            f"feature view {name!r} also has a stream source: ow.kafka(...) reads one; here it "
            "reads the batch source"
        )
    source = _source(batch, keys, book)
    book.views[spec["name"]] = (name, kept)
    columns = ", ".join(map(_quoted, (*keys, *kept)))
    created = batch.get("createdTimestampColumn") or batch["timestampField"]
    arguments = [f"entity={_quoted(keys[0] if len(keys) == 1 else keys)}"]
    ttl = _duration(spec.get("ttl", "0s"))
    arguments += [f"ttl={_quoted(ttl)}"] if ttl else []
    arguments += _said(spec)
    return (
        f"@ow.feature_view({', '.join(arguments)})\n"
        f"def {name}({source}):\n"
        f"    return {source}.select(\n"
        f"        {columns},\n"
        f"        event_time=_[{_quoted(batch['timestampField'])}],\n"
        f"        available_at=_[{_quoted(created)}],\n"
        "    )"
    )


def _source(batch: Mapping[str, Any], keys: Sequence[str], book: _Book) -> str:
    """Declare a view's source if it is not yet; return its name."""
    name = _name("source", batch.get("name") or "source", book)
    times = [batch["timestampField"], batch.get("createdTimestampColumn")]
    key = tuple(dict.fromkeys(c for c in (*keys, *times) if c))
    if name in book.sources and set(book.keys[name]) >= set(key):
        return name
    key = tuple(dict.fromkeys((*book.keys.get(name, ()), *key)))
    book.keys[name] = key
    if batch.get("fieldMapping"):
        book.notes.append(
            f"source {name!r} maps columns {dict(batch['fieldMapping'])}: rename them in the view"
        )
    if not batch.get("createdTimestampColumn"):
        book.notes.append(
            f"source {name!r} has no created timestamp: its rows are taken to be known at their "
            "event time, which lets late data leak; name the column that says when, if there is one"
        )
    book.sources[name] = (
        f"{name} = ow.Source(\n"
        f"    {_quoted(name)},\n"
        f"    {_origin(name, batch, book)},\n"
        f"    key={_quoted(key)},\n"
        f"    event_time={_quoted(batch['timestampField'])},\n"
        f"    available_at={_quoted(times[1] or times[0])},\n"
        ")"
    )
    return name


def _origin(name: str, batch: Mapping[str, Any], book: _Book) -> str:
    uri = (batch.get("fileOptions") or {}).get("uri")
    if uri is not None:
        pattern = f"{uri.rstrip('/')}/*.parquet" if not uri.endswith(".parquet") else uri
        return f'ow.files({_quoted(pattern)}, "parquet")'
    options: Mapping[str, Any] = next(
        (v for k, v in batch.items() if k.endswith("Options") and v), {}
    )
    table = options.get("table") or options.get("query") or name
    book.notes.append(
        f"source {name!r} is {batch.get('type', 'of another kind')}: it reads {table!r} through "
        "DATABASE_URL, PostgreSQL's or SQLite's; for other databases export Parquet"
    )
    where = f"{_quoted(table)}, cursor={_quoted(batch['timestampField'])}"
    return f'ow.sql("${{env:DATABASE_URL}}", {where})'


def _on_demand(spec: Mapping[str, Any], book: _Book) -> Function | None:
    name = _name("view", spec["name"], book)
    try:
        found = translate_function(spec, name, book.views)
    except LeftOutError as error:
        book.notes.append(f"on-demand view {name!r} {error}; it is left out")
        return None
    book.functions[spec["name"]] = name
    return found


def _service(spec: Mapping[str, Any], book: _Book) -> str | None:
    name = _name("service", spec["name"], book)
    members = []
    for projection in spec.get("features", ()):
        given = projection["featureViewName"]
        if given in book.functions:
            members.append(book.functions[given])  # whole: what it computes, it computes at once
            continue
        if given not in book.views:
            book.notes.append(f"feature service {name!r} is without {given!r}, which is left out")
            continue
        view, kept = book.views[given]
        asked = [c["name"] for c in projection.get("featureColumns", ())]
        taken = [column for column in asked if column in kept]
        whole = not asked or set(taken) == set(kept)
        members.append(view if whole else f"{view}[{_quoted(taken)}]")
    if not members:
        book.notes.append(f"feature service {name!r} has no feature left and is left out")
        return None
    book.services.append(name)
    arguments = "".join(f", {argument}" for argument in _said(spec))
    return f"{name} = ow.feature_service({_quoted(name)}, [{', '.join(members)}]{arguments})"


def _said(spec: Mapping[str, Any]) -> Iterator[str]:
    if spec.get("description"):
        yield f"description={_quoted(spec['description'])}"
    if spec.get("owner"):
        yield f"owner={_quoted(spec['owner'])}"
    tags = [f"{key}={value}" if value else key for key, value in spec.get("tags", {}).items()]
    if tags:
        yield f"tags={_quoted(tags)}"


def _elsewhere(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    words = {
        "labelViews": "label view",
        "streamFeatureViews": "stream feature view",
        "savedDatasets": "saved dataset",
        "permissions": "permission",
    }
    for section, kind in words.items():
        for entry in found.get(section, ()):
            yield kind, entry["spec"]["name"]


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)  # as Python writes text and lists of it


def _duration(text: str) -> str | None:
    seconds = int(float(text.rstrip("s") or 0))
    if seconds == 0:
        return None
    unit, length = next((u, n) for u, n in _UNITS if seconds % n == 0)
    return f"{seconds // length}{unit}"


def _name(kind: str, given: str, book: _Book) -> str:
    """Return what Onward calls what Feast calls so: the same whenever it is asked."""
    if (kind, given) in book.names:
        return book.names[kind, given]
    plain = re.sub(r"\W+", "_", given).lower().strip("_")
    plain = f"v_{plain}" if not plain or plain[0].isdigit() else plain
    others = (f"{plain}_{kind}{number or ''}" for number in count())
    taken = {*book.names.values(), *kwlist, *IMPORTS, "ow"}
    made = next(name for name in chain([plain], others) if name not in taken)
    if made != given:
        why = "names are lower-case identifiers" if made == plain else "that name is taken"
        book.notes.append(f"{kind} {given!r} is called {made!r}: {why}")
    book.names[kind, given] = made
    return made
