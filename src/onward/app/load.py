"""Loading the user's pipeline file, and saying clearly what is wrong with it."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Final

from onward.core.errors import DeclarationError, Location, NotFoundError, OnwardError, nearest
from onward.flow.pipeline.definition import Definition, define
from onward.stages.transform.config import DbtProject
from onward.stages.transform.port import Manifest

_INSTALLED: Final = ("site-packages", "dist-packages")


def load_definition(
    file: Path, *, manifest: Callable[[DbtProject], Manifest] | None = None
) -> Definition:
    """Import the pipeline file and put its declarations together.

    `manifest` tells what a dbt project holds; without it a file that declares one is refused.

    Raises
    ------
    NotFoundError
        The file does not exist.
    DeclarationError
        The file raises, or what it declares does not fit together.
    """
    module = _import(file)
    _travel_by_value(file.parent)
    return define(
        vars(module).values(),
        folder=file.parent,
        file=str(file),
        commit=commit_of(file.parent),
        manifest=manifest,
    )


def commit_of(folder: Path) -> str | None:
    """Return the commit that is checked out, ``-dirty`` if files differ; None without git."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}-dirty" if changed else head


def repository_of(folder: Path) -> str | None:
    """Return the address that the project's code was fetched from; None without one."""
    try:
        return _git(folder, "remote", "get-url", "origin") or None
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *words: str) -> str:
    run = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def _import(file: Path) -> ModuleType:
    if not file.is_file():
        raise NotFoundError(
            f"there is no pipeline file {file}",
            next_step="`onward init NAME` writes one; `[project] pipeline` in onward.toml names it",
        )
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise DeclarationError(f"{file} is no Python file", expected="a name that ends in .py")
    module = importlib.util.module_from_spec(spec)
    _forget_own(file.parent)
    sys.modules[file.stem] = module
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except OnwardError:
        raise
    except SyntaxError as error:
        raise DeclarationError(
            f"the pipeline file is not valid Python: {error.msg}",
            next_step="mend that line",
            location=Location(error.filename or str(file), error.lineno or 1),
        ) from None
    except Exception as error:
        raise DeclarationError(
            f"the pipeline file raised {type(error).__name__}: {error}",
            expected=_meant(error),
            next_step=f"`python {file}` shows the whole traceback",
            location=_innermost(error, file.parent),
        ) from None
    return module


def own_files(folder: Path) -> list[Path]:
    """Return the Python files in a folder's tree that are imported."""
    return [Path(str(module.__file__)) for module in _own(folder)]


def _own(folder: Path) -> list[ModuleType]:
    """Return the modules that came from Python files in a folder's tree and are the user's own.

    An environment that lies in it is not, nor is Onward itself.
    """
    inside = f"{folder}{os.sep}"
    files = ((m, getattr(m, "__file__", None)) for m in list(sys.modules.values()))
    return [
        module
        for module, file in files
        if file and file.startswith(inside) and _is_own(module, Path(file).relative_to(folder))
    ]


def _is_own(module: ModuleType, file: Path) -> bool:
    hidden = any(part in _INSTALLED or part.startswith(".") for part in file.parts)
    top = module.__name__.partition(".")[0]
    return file.suffix == ".py" and not hidden and top not in ("__main__", "onward")


def _forget_own(folder: Path) -> None:
    """Let the user's own modules be imported as they stand now: they may have changed."""
    for module in _own(folder):
        sys.modules.pop(module.__name__, None)
    importlib.invalidate_caches()  # of a folder's names, which may be older than a new file


def _meant(error: Exception) -> str:
    """Return what a mistyped declaration, or a keyword of one, meant, as a question."""
    import onward

    if isinstance(error, AttributeError) and error.obj is onward:
        close = nearest(error.name or "", onward.__all__)
        return f"did you mean {close!r}?" if close else ""
    found = re.match(r"(\w+)\S*\(\) got an unexpected keyword argument '(\w+)'", str(error))
    declared = getattr(onward, found[1], None) if found else None
    if found is None or declared is None:
        return ""
    close = nearest(found[2], inspect.signature(declared).parameters)
    return f"did you mean {close!r}?" if close else ""


def _travel_by_value(folder: Path) -> None:
    """Let functions of the user's own modules reach child processes and artifacts whole."""
    import cloudpickle

    for module in _own(folder):
        cloudpickle.register_pickle_by_value(module)


def _innermost(error: BaseException, folder: Path) -> Location | None:
    """Return the last frame of the traceback that lies in the user's folder."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if frame.filename.startswith(str(folder)):
            return Location(frame.filename, frame.lineno or 1)
    return None
