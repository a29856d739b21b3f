"""Spark's tests are there where Spark is: `make test-spark` runs them."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("feature_store_pyspark") else ["test_spark.py"]
