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
    """Open masks on the secrets of a project: as a gateway does, which knows places only."""
    return KeyedMasks(open_secrets(keyfile, folder))


class KeyedMasks:
    """Masks by the newest keys of the rings, which are read when they are first needed."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets
        self._rings: dict[str, tuple[keyring.Key, ...]] = {}
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
            return pa.array([None if t is None else make(t) for t in texts.to_pylist()], pa.string())
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
            found = self._texts[mask] = (keyed.masker(mask, key), keyed.recogniser(mask, key))
        return found

    def _ring(self, mask: Mask) -> tuple[keyring.Key, ...]:
        name = keyring.TOKENS if mask.stable else keyring.REVEAL
        if name not in self._rings:
            self._rings[name] = keyring.keys(self._secrets, name)
        return self._rings[name]
