"""A Great Expectations suite: its JSON read, each expectation with its line."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from onward.core.errors import DeclarationError, Location

_KEY: Final = r'"(?:expectation_type|type)"\s*:\s*'
_INCIDENTAL: Final = {"result_format", "include_config", "catch_exceptions", "batch_id", "meta"}
_GENTLE: Final = ("warning", "info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One expectation: its name, its arguments, where it stands, and whether it only warns."""

    name: str
    arguments: Mapping[str, Any]
    warns: bool
    location: Location

    @property
    def title(self) -> str:
        """The name and what it is asked of, as a check's name."""
        said = ", ".join(
            str(value) if key.startswith("column") else f"{key}={value}"
            for key, value in self.arguments.items()
            if value is not None
        )
        return f"{self.name.removeprefix('expect_')}({said})"


def read(path: Path, declared: Location | None) -> Sequence[Expectation]:
    """Return a suite's expectations, in the older form or the newer.

    Raises
    ------
    DeclarationError
        There is no such file, it is no suite, or an expectation has a parameter yet to be filled.
    """
    try:
        text = path.read_text()
        suite = json.loads(text)
        entries = suite["expectations"]
    except FileNotFoundError:
        raise DeclarationError(
            f"there is no suite {path}",
            expected="a Great Expectations suite, as JSON; its path from the pipeline file",
            location=declared,
        ) from None
    except json.JSONDecodeError as error:
        raise DeclarationError(
            f"the suite is not JSON: {error.msg}", location=Location(str(path), error.lineno)
        ) from None
    except (KeyError, TypeError):
        entries = None
    if not isinstance(entries, list):
        raise DeclarationError(
            f"{path} is no suite",
            expected='a JSON object with a list of "expectations"',
            location=Location(str(path), 1),
        )
    seen: Counter[str] = Counter()
    return [_expectation(entry, path, text, seen) for entry in entries]


def _expectation(entry: Any, path: Path, text: str, seen: Counter[str]) -> Expectation:
    name = None
    if isinstance(entry, dict):
        name = entry.get("expectation_type") or entry.get("type")
    if not isinstance(name, str):
        raise DeclarationError(
            f"an entry of the suite is no expectation: {json.dumps(entry)[:80]}",
            expected='an object with a "type" (or "expectation_type") and "kwargs"',
            location=Location(str(path), 1),
        )
    location = Location(str(path), _line(text, name, seen[name]))
    seen[name] += 1
    arguments = {k: v for k, v in entry.get("kwargs", {}).items() if k not in _INCIDENTAL}
    for key, value in arguments.items():
        if isinstance(value, dict) and "$PARAMETER" in value:
            raise DeclarationError(
                f"{name} leaves {key!r} to a parameter: {value['$PARAMETER']!r}",
                expected="a value: suites are read without a run's parameters",
                location=location,
            )
    return Expectation(
        name=name,
        arguments=arguments,
        warns=entry.get("severity") in _GENTLE,
        location=location,
    )


def _line(text: str, name: str, earlier: int) -> int:
    """Return the line of the expectation of this name that comes after `earlier` others."""
    found = [m.start() for m in re.finditer(f'{_KEY}"{re.escape(name)}"', text)]
    return text.count("\n", 0, found[earlier]) + 1 if earlier < len(found) else 1
