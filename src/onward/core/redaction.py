"""What a database says, without the values of rows that it quotes."""

from __future__ import annotations

import re
from typing import Final

UNSHOWN: Final = "…"

# PostgreSQL tells a value in the lines beside an error, in the key of a constraint, after the
# colon of an error of its class 22 (data exception), and where a number does not fit.
_BESIDE: Final = re.compile(r"^\s*(DETAIL|CONTEXT|STATEMENT|QUERY)\s*:.*", re.DOTALL | re.MULTILINE)
_KEY: Final = re.compile(r"\)=\(.*\)", re.DOTALL)
_AFTER_COLON: Final = re.compile(r'(?<=[a-z]): ".*"', re.DOTALL)
_FITS_NOT: Final = re.compile(r'(?<=value )".*"(?= is out of range)', re.DOTALL)


def without_values(text: str) -> str:
    """Return a driver's error without the values that it quotes; names of columns stay.

    Rows may not be shown: what is masked in them is not masked yet, and the ledger keeps errors.
    """
    text = _BESIDE.sub("", text)
    text = _KEY.sub(f")=({UNSHOWN})", text)
    text = _AFTER_COLON.sub(f": {UNSHOWN}", text)
    return _FITS_NOT.sub(UNSHOWN, text).rstrip()
