"""What a user declares about columns that may not be kept as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from onward.core.declared import here
from onward.core.errors import DeclarationError, Location, unknown_name
from onward.core.records import Mask
from onward.core.records.masks import UNITS


def drop() -> Mask:
    """Keep nothing of the column: the table does not have it."""
    return Mask(kind="drop")


def hashed() -> Mask:
    """Keep a keyed digest (HMAC-SHA-256) that is the column's own.

    Equal values of the column can be counted and joined with one another; those of other columns
    cannot be told to be equal, nor be guessed without the key.
    """
    return Mask(kind="hash")


def pseudonym(domain: str | None = None) -> Mask:
    """Keep a keyed digest that is the same wherever the value stands in the domain.

    Joins between sources go on working. The domain is the column's name unless given.
    """
    return Mask(kind="pseudonym", domain=domain or "")


def revealable(role: str, *, domain: str | None = None) -> Mask:
    """Keep the value encrypted, for `role` to have it revealed by `onward reveal`.

    Each value is encrypted afresh (AES-GCM), so that equal ones do not show; with a `domain`,
    equal values of the domain are encrypted alike (AES-SIV) and can be joined.
    """
    return Mask(kind="reveal", role=role, domain=domain or "", stable=domain is not None)


def generalise(
    *,
    digits: int | None = None,
    step: float | None = None,
    bins: Sequence[float] = (),
    to: str = "",
) -> Mask:
    """Keep a coarser value; give one of the four.

    Parameters
    ----------
    digits
        How many of a text's first characters stay; the others become ``*``.
    step
        Numbers are lowered to a multiple of it.
    bins
        Edges, ascending: ``[18, 65]`` gives the texts ``<18``, ``18-65`` (65 not in it), ``65+``.
    to
        Times are lowered to the beginning of their ``hour``, ``day``, ``month``, ``quarter`` or
        ``year``, in UTC.
    """
    location = here()
    if sum((digits is not None, step is not None, bool(bins), bool(to))) != 1:
        raise DeclarationError(
            "generalise needs one of digits, step, bins and to",
            expected="for instance ow.generalise(digits=3) or ow.generalise(to='month')",
            location=location,
        )
    if to and to not in UNITS:
        what, expected = unknown_name("unit of time", to, UNITS)
        raise DeclarationError(what, expected=expected, location=location)
    edges = tuple(map(float, bins))
    if (
        (digits is not None and digits < 0)
        or (step is not None and step <= 0)
        or any(low >= high for low, high in pairwise(edges))
    ):
        raise DeclarationError(
            "generalise cannot be done by these",
            expected="digits of 0 or more, a step above 0, bins that ascend",
            location=location,
        )
    return Mask(kind="generalise", digits=digits, step=step, bins=edges, to=to)


_READ_AS: Final = {"drop": "string", "hash": "string", "pseudonym": "string", "reveal": "string"}


def read_as(masked: Mapping[str, Mask]) -> dict[str, str]:
    """Return the types as which masked columns are read, where the mask decides it."""
    types = {name: _READ_AS.get(mask.kind, "") for name, mask in masked.items()}
    for name, mask in masked.items():
        if mask.digits is not None:
            types[name] = "string"
        elif mask.bins:
            types[name] = "double"
    return {name: kind for name, kind in types.items() if kind}


def require_masks(
    source: str,
    masked: Mapping[str, Mask],
    *,
    key: Sequence[str],
    times: Sequence[str],
    subject: Sequence[str],
    cursor: str | None,
    location: Location | None,
) -> dict[str, Mask]:
    """Return the masks with their domains.

    Raises
    ------
    DeclarationError
        One is no mask, or stands where the raw value is needed.
    """
    for column, mask in masked.items():
        if not isinstance(mask, Mask):
            raise DeclarationError(
                f"column {column!r} of source {source!r} is masked by {mask!r}",
                expected="ow.drop(), ow.hashed(), ow.pseudonym(), ow.generalise(...) or "
                "ow.revealable(role)",
                location=location,
            )
        why = None
        if column in times:
            why = "it says when a row happened or was known, which decides what a model may see"
        elif column == cursor:
            why = "it is the cursor, which is kept as it is to know what was read"
        elif column in key and (mask.kind in ("drop", "generalise") or not mask.stable):
            why = "it is part of the key, and rows could not be told apart"
        elif column in subject and (mask.kind in ("drop", "generalise") or not mask.stable):
            why = "it says whom a row is about, and nobody could be found by it"
        if why:
            raise DeclarationError(
                f"column {column!r} of source {source!r} cannot be masked by {mask.kind}: {why}",
                expected="ow.pseudonym() or ow.hashed() for a key; no mask for times and cursors",
                location=location,
            )
    return {column: _domain(source, column, mask) for column, mask in masked.items()}


def _domain(source: str, column: str, mask: Mask) -> Mask:
    if not mask.keyed or mask.domain:
        return mask
    own = column if mask.kind == "pseudonym" else f"{source}.{column}"
    return replace(mask, domain=own)
