"""A command that was called wrongly: what is wrong, what there is instead, what to do next."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Final, cast

import typer
from typer._click import (
    exceptions as click,
)  # typer brings its own click, and names it nowhere else

from onward.core.errors import OnwardError, unknown_name

_NO_COMMAND: Final = re.compile(r"No such command '(.*?)'")
_EXTRA: Final = re.compile(r"Got unexpected extra argument\(s\) \((.*)\)")


class CallError(OnwardError):
    """A command, an option or an argument that there is not, or a value that it cannot have."""

    exit_code = 2


def call(cli: typer.Typer) -> int:
    """Run the command that the process was started with; return its exit code.

    Raises
    ------
    OnwardError
        A user's mistake, `CallError` if it is in how the command was called.
    """
    try:
        code = cli(standalone_mode=False)
    except click.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        raise told(error) from None
    except click.ClickException as error:
        raise CallError(_sentence(error.format_message())) from None
    except typer.Abort:
        sys.stderr.write("stopped\n")
        return 1
    return code if isinstance(code, int) else 0


def told(error: click.UsageError) -> CallError:
    """Return a mistake in a call as one of ours."""
    context = cast("typer.Context | None", error.ctx)
    if context is None:
        return CallError(_sentence(error.format_message()))
    path = context.command_path
    next_step = f"`{path} --help` shows what there is"
    if isinstance(error, click.NoSuchOption):
        return _unknown("option", error.option_name, _options(context), path, next_step)
    if found := _NO_COMMAND.search(error.message):
        commands = getattr(context.command, "commands", {})
        return _unknown("command", found[1], commands, path, next_step)
    if found := _EXTRA.search(error.message):
        return CallError(
            f"`{path}` does not take {found[1]!r}",
            expected=context.get_usage().removeprefix("Usage: "),
            next_step=next_step,
        )
    return CallError(_sentence(error.format_message()), next_step=next_step)


def _unknown(kind: str, name: str, known: Iterable[str], path: str, next_step: str) -> CallError:
    what, expected = unknown_name(kind, name, known)
    return CallError(f"`{path}`: {what}", expected=expected, next_step=next_step)


def _options(context: typer.Context) -> list[str]:
    names = (name for p in context.command.get_params(context) for name in p.opts)
    return [name for name in names if name.startswith("--")]


def _sentence(text: str) -> str:
    text = text.strip().removesuffix(".")
    return text[:1].lower() + text[1:]
