"""A shop with a champion, for tests of what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from onward.app.project import open_project
from onward.flow.run.runs import request

STRICT = (
    '@ow.feature_view(entity="customer", ttl="365d")',
    '@ow.feature_view(entity="customer", ttl="36500d", on_missing="error")',
)
BESIDE = """@ow.on_demand(features=[habits])
def usual(amount, habits__mean_amount):
    return {"of_usual": amount / habits__mean_amount}


@ow.label"""
TAKEN = ("features=[habits, basket]", 'features=[habits[["returns"]], basket, usual]')
ODD = "{},2026-02-12T00:00:00+00:00,2026-02-13T00:00:00+00:00,{},5.0,0,0\n"


@pytest.fixture(scope="session")
def odd_shop(
    tmp_path_factory: pytest.TempPathFactory,
    shops: Callable[[Path], Path],
    add_orders: Callable[..., Path],
) -> Path:
    """A shop with a champion, and with two orders that it gives no answer to: of one the price is
    infinite, and its view refuses the other's customer, whom it does not know. An on-demand
    function reads a feature of the view that the model itself does not take.
    """
    folder = shops(tmp_path_factory.mktemp("score") / "shop")
    file = folder / "pipeline.py"
    text = file.read_text().replace(*STRICT).replace(*TAKEN).replace("@ow.label", BESIDE)
    file.write_text(text.replace('"roc_auc", 0.6', '"roc_auc", 0.5'))
    with open_project(folder) as opened:
        assert opened.run() is not None
        more = add_orders(folder, "more", rows=30)
        more.write_text(more.read_text() + ODD.format("zero", "c1") + ODD.format("nobody", "?"))
        opened.deliver(request(opened.site, "two odd orders", train=False))
    return folder
