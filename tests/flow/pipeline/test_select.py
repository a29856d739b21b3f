"""Selection in dbt's words, on a small graph."""

from __future__ import annotations

import pytest

from onward.app.load import load_definition
from onward.core.errors import DeclarationError, NotFoundError, OnwardError
from onward.flow.pipeline.graph import Node, graph
from onward.flow.pipeline.select import select

#  orders ─ sold ─ daily ─ weekly
#             └──── totals ┘          people ─ totals
NODES = (
    Node(kind="source", name="orders"),
    Node(kind="source", name="people"),
    Node(kind="transform", name="sold", reads=("source:orders",), tags=("staging",)),
    Node(kind="transform", name="daily", reads=("transform:sold",), tags=("mart", "fast")),
    Node(kind="transform", name="totals", reads=("transform:sold", "source:people")),
    Node(kind="transform", name="weekly", reads=("transform:daily", "transform:totals"),
         tags=("mart",)),
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("sold", "sold"),
        ("+sold", "orders sold"),
        ("sold+", "sold daily totals weekly"),
        ("sold+1", "sold daily totals"),
        ("1+weekly", "daily totals weekly"),
        ("2+weekly", "sold people daily totals weekly"),
        ("+daily+", "orders sold daily weekly"),
        ("0+daily", "daily"),
        ("people daily", "people daily"),
        ("sold+,+totals", "sold totals"),
        ("tag:mart", "daily weekly"),
        ("tag:mart,tag:fast", "daily"),
        ("tag:mart orders", "orders daily weekly"),
        ("source:*", "orders people"),
        ("transform:*ly", "daily weekly"),
        ("+tag:fast", "orders sold daily"),
        ("orders,people", ""),
    ],
)
def test_a_selection(text: str, names: str) -> None:
    assert {node.name for node in select(NODES, [text])} == set(names.split())


def test_several_texts_join_in_the_graphs_order() -> None:
    assert [n.name for n in select(NODES, ["weekly", "sold orders"])] == [
        "orders",
        "sold",
        "weekly",
    ]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("sld", NotFoundError, "no part of the graph 'sld'.*did you mean 'sold'"),
        ("tag:marts", NotFoundError, "no tag 'marts'.*did you mean 'mart'"),
        ("source:sold", NotFoundError, "no part of the graph"),
        ("so+ld", DeclarationError, "'so\\+ld' selects nothing that can be read"),
        ("sold,", DeclarationError, "'' selects nothing"),
    ],
)
def test_a_selection_at_fault(text: str, kind: type[OnwardError], message: str) -> None:
    with pytest.raises(kind, match=f"(?s){message}"):
        select(NODES, [text])


def test_the_graph_of_a_pipeline(shop) -> None:
    nodes = {node.id: node for node in graph(load_definition(shop / "pipeline.py"))}
    assert nodes["transform:sold"].reads == ("source:orders",)
    assert nodes["view:habits"].reads == ("transform:sold",)
    assert nodes["on-demand:basket"].reads == ()
    assert nodes["model:order_return"].reads == (
        "view:habits", "on-demand:basket", "label:returned",
    )  # fmt: skip
    assert [n.name for n in select(list(nodes.values()), ["orders+1"])] == ["orders", "sold"]


READING = """@ow.on_demand(features=[habits])
def usual(amount, habits__mean_amount):
    return {"of_usual": amount / habits__mean_amount}


@ow.label"""


def test_a_view_that_only_a_function_reads_is_in_the_graph_and_published(shop) -> None:
    file = shop / "pipeline.py"
    text = file.read_text().replace("features=[habits, basket]", "features=[usual, basket]")
    file.write_text(text.replace("@ow.label", READING))
    definition = load_definition(file)
    assert [view.name for view in definition.views] == ["habits"]
    nodes = {node.id: node for node in graph(definition)}
    assert nodes["on-demand:usual"].reads == ("view:habits",)
    assert nodes["model:order_return"].reads == (
        "on-demand:usual", "on-demand:basket", "label:returned",
    )  # fmt: skip
    assert "model:order_return" in {n.id for n in select(list(nodes.values()), ["sold+"])}
    file.write_text(file.read_text().replace("on_demand(features=[habits])", "on_demand"))
    with pytest.raises(DeclarationError, match=r"expected: @ow.on_demand\(features=\[habits\]\)"):
        load_definition(file)
