"""A shop with a champion, for tests of what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from onward.app.project import open_project
from onward.flow.runs import request

STRICT = (
    '@ow.feature_view(entity="customer", ttl="365d")',
    '@ow.feature_view(entity="customer", ttl="36500d", on_missing="error")',
)
ODD = "{},2026-02-12T00:00:00+00:00,2026-02-13T00:00:00+00:00,{},5.0,0,0\n"


@pytest.fixture(scope="session")
def odd_shop(
    tmp_path_factory: pytest.TempPathFactory,
    shops: Callable[[Path], Path],
    add_orders: Callable[..., Path],
) -> Path:
    """A shop with a champion, and with two orders that it gives no answer to: of one the price is
    infinite, and its view refuses the other's customer, whom it does not know.
    """
    folder = shops(tmp_path_factory.mktemp("score") / "shop")
    file = folder / "pipeline.py"
    file.write_text(file.read_text().replace(*STRICT))
    with open_project(folder) as opened:
        assert opened.run() is not None
        more = add_orders(folder, "more", rows=30)
        more.write_text(more.read_text() + ODD.format("zero", "c1") + ODD.format("nobody", "?"))
        opened.deliver(request(opened.site, "two odd orders", train=False))
    return folder
