import sys

import pytest

import onward as ow
from onward.core.errors import DeclarationError
from onward.stages.transform.adapters.spark import SparkEngine


def test_a_bare_decorator_and_a_called_one_declare_alike():
    check = ow.check("positive", lambda t: t.x > 0)

    @ow.transform
    def bare(orders, customers):
        return orders

    @ow.transform(checks=[check])
    def called(orders):
        return orders

    assert (bare.name, bare.table, bare.inputs) == ("bare", "derived.bare", ("orders", "customers"))
    assert called.checks == (check,)
    assert bare.sql_file is None
    assert str(bare.location) == f"{__file__}:{bare.function.__code__.co_firstlineno}"


def test_a_sql_transform_is_a_file():
    sales = ow.sql_transform("sales", "sql/sales.sql", checks=[])
    assert (sales.table, sales.sql_file, sales.function) == (
        "derived.sales",
        "sql/sales.sql",
        None,
    )
    assert sales.location.file == __file__


def test_wrong_transforms_are_refused_where_they_stand():
    with pytest.raises(DeclarationError, match="cannot name a transform") as refused:

        @ow.transform
        def Sales(orders): ...

    assert refused.value.location.file == __file__
    with pytest.raises(DeclarationError, match="is no check"):
        ow.transform(checks=["positive"])(function_named_sales())
    with pytest.raises(DeclarationError, match="is no check"):
        ow.sql_transform("sales", "sales.sql", checks=[1])


def function_named_sales():
    def sales(orders): ...

    return sales


def test_spark_builds_whole_or_says_that_it_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(DeclarationError, match="is incremental, and runs on Spark"):
        ow.transform(engine="spark", incremental=ow.by_delta())(function_named_sales())
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    sales = ow.transform(engine="spark")(function_named_sales())
    engine = SparkEngine(master="local", iceberg="x", conf={}, lake=None, scratch=tmp_path / "s")
    with (
        pytest.raises(DeclarationError, match=r"(?s)pyspark is not installed.*onward\[spark\]"),
        engine.rows(sales, {}),
    ):
        pass
