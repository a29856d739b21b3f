"""Options that most commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

Folder = Annotated[
    Path, typer.Option("--project", "-p", help="The project's folder.", show_default="here")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
HERE: Final = Path()
