"""The servers that tests start are what they say they are."""

from services.postgres import Cluster


def test_each_test_has_a_database_of_its_own(postgres: Cluster) -> None:
    first, second = postgres.create_database(), postgres.create_database()
    postgres.execute("CREATE TABLE t (x int); INSERT INTO t VALUES (7)", first)
    assert postgres.execute("SELECT x FROM t", first) == "7"
    assert postgres.execute("SELECT count(*) FROM pg_class WHERE relname = 't'", second) == "0"
