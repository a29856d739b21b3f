from __future__ import annotations

import pytest

from onward.core.wording import counted, size


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [
        (0, "row", "0 rows"),
        (1, "row", "1 row"),
        (2_345, "row", "2,345 rows"),
        (1, "batch", "1 batch"),
        (2, "batch", "2 batches"),
        (2, "day", "2 days"),
        (2, "query", "2 queries"),
    ],
)
def test_a_count_is_said_as_people_say_it(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "1 byte"), (999, "999 bytes"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"),
     (3.2e9, "3.2 GB"), (4e12, "4.0 TB"), (5e15, "5000.0 TB")],
)  # fmt: skip
def test_bytes_are_told_in_the_unit_that_people_would_say(count: int, said: str) -> None:
    assert size(int(count)) == said
