"""What the gateway tells its own log, which is its standard error."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    """Tell the gateway's log."""
    print(text, file=sys.stderr, flush=True)


def megabytes(size: int) -> str:
    """Return a size as people read it, such as ``1,204.3 MB``."""
    return f"{size / 1e6:,.1f} MB"
