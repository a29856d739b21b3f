"""Audiences: expressions on request columns, and nothing else."""

from __future__ import annotations

import pytest

import onward as ow
from onward.core.errors import DeclarationError
from onward.stages.serve.audience import compiled, parsed

COLUMNS = ("country", "amount", "items")


@pytest.mark.parametrize(
    ("text", "row", "within"),
    [
        ("country == 'NL'", ("NL", 1.0, 1), True),
        ("country == 'NL'", ("BE", 1.0, 1), False),
        ("country in ('NL', 'BE') and amount / items < 2", ("BE", 3.0, 2), True),
        ("country in ('NL', 'BE') and amount / items < 2", ("BE", 4.0, 2), False),
        ("not (0 < amount <= 10) or items is None", ("NL", 5.0, None), True),
        ("amount < 10", ("NL", None, 1), False),
        ("amount / items > 1", ("NL", 5.0, 0), False),
        ("amount >= -1 + 2 * 3 - items % 2", ("NL", 5.0, 2), True),
    ],
)
def test_a_row_is_in_the_audience_or_not(text, row, within):
    assert compiled(text, COLUMNS)(row) is within


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("country = 'NL'", "is no expression"),
        ("", "is no expression"),
        ("__import__('os').system('true')", "holds"),
        ("country.upper() == 'NL'", "holds"),
        ("(lambda: True)()", "holds"),
        ("[x for x in country]", "holds"),
        ("2 ** 10 ** 10 > amount", "holds"),
    ],
)
def test_what_is_no_audience_is_refused_where_it_stands(text, words):
    with pytest.raises(DeclarationError, match=words) as refused:
        ow.Canary(audience=text)
    assert refused.value.location is not None
    assert refused.value.location.file == __file__


def test_a_column_that_no_request_has_is_named():
    parsed("contry == 'NL'")
    with pytest.raises(DeclarationError, match="no request column 'contry'") as refused:
        compiled("contry == 'NL'", COLUMNS)
    assert "did you mean 'country'" in str(refused.value)
