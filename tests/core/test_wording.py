import pytest

from onward.core.wording import counted


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
