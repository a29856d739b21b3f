"""The masks port, by keys from the secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from onward.core.errors import DataError
from onward.core.ports.secrets import Secrets
from onward.core.records import Mask
from onward.infra.masks import generalise, keyed, keyring
from onward.infra.secrets.chain import open_secrets

if TYPE_CHECKING:
    import pyarrow as pa


def open_masks(keyfile: str, folder: str) -> KeyedMasks:
    """Open masks on a project's secrets, as a gateway does: it knows the places, and makes no key
    where there is none, for nothing would match what a new one masks.
    """
    return KeyedMasks(open_secrets(keyfile, folder), make_keys=False)


class KeyedMasks:
    """Masks by the newest keys of the rings; the ring of stable masks is read once, when needed."""

    def __init__(self, secrets: Secrets, *, make_keys: bool = True) -> None:
        self._secrets = secrets
        self._make_keys = make_keys
        self._tokens: tuple[keyring.Key, ...] = ()
        self._texts: dict[Mask, tuple[Callable[[str], str], Callable[[str], bool]]] = {}

    def key(self, mask: Mask) -> str:
        return self._ring(mask)[-1].id if mask.keyed else ""

    def column(self, mask: Mask, values: pa.Array) -> pa.Array:
        import pyarrow as pa

        if mask.kind == "generalise":
            return generalise.column(mask, values)
        make, _ = self._text(mask)
        texts = values.cast(pa.string())
        if not mask.stable:
            fresh = [None if text is None else make(text) for text in texts.to_pylist()]
            return pa.array(fresh, pa.string())
        distinct = texts.dictionary_encode()
        made = pa.array(map(make, distinct.dictionary.to_pylist()), pa.string())
        return made.take(distinct.indices)

    def value(self, mask: Mask, value: Any) -> Any:
        try:
            if mask.kind == "generalise":
                return generalise.value(mask, value)
            if value is None:
                return None
            make, masked_already = self._text(mask)
            if not isinstance(value, (str, int)):
                raise TypeError
            text = str(value)
            return text if masked_already(text) else make(text)
        except (TypeError, ValueError, OverflowError):
            kinds = "a number" if mask.step or mask.bins else "a time" if mask.to else "text"
            raise DataError(
                f"the value of a masked column is of type {type(value).__name__}", expected=kinds
            ) from None

    def reveal(self, mask: Mask, masked: str) -> str:
        return keyed.revealed(mask, masked, self._ring(mask))

    def _text(self, mask: Mask) -> tuple[Callable[[str], str], Callable[[str], bool]]:
        found = self._texts.get(mask)
        if found is None:
            key = self._ring(mask)[-1]
            found = keyed.masker(mask, key), keyed.recogniser(mask, key)
            if mask.stable:  # another ring may be rotated while this process runs
                self._texts[mask] = found
        return found

    def _ring(self, mask: Mask) -> tuple[keyring.Key, ...]:
        if not mask.stable:
            return keyring.keys(self._secrets, keyring.REVEAL, make=self._make_keys)
        if not self._tokens:
            self._tokens = keyring.keys(self._secrets, keyring.TOKENS, make=self._make_keys)
        return self._tokens
