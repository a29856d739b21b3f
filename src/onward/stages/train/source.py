"""The text of the user's module, kept with what it trained."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from typing import Any


def source_of(function: Callable[..., Any]) -> str | None:
    """Return the text of the file, or notebook cell, that defines `function`; None if not known."""
    file = inspect.getsourcefile(function)
    lines = linecache.getlines(file) if file else []
    return "".join(lines) or None
