"""Pages of the docs, as their tests take them apart."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Page(str):
    """A page's text."""

    __slots__ = ()

    def block(self, name: str) -> str:
        """Return the code that the comment ``<!-- docs: name -->`` stands before."""
        _, mark, after = self.partition(f"<!-- docs: {name} -->\n")
        found = _FENCED.search(after)
        assert mark, f"no block is marked as {name!r}"
        assert found is not None, name
        return found[1]


def page(path: str) -> Page:
    """Return the page at a path within the project, such as ``README.md``."""
    return Page((ROOT / path).read_text())


def guide(name: str) -> Page:
    """Return a page of the guide."""
    return page(f"docs/guide/{name}.md")
