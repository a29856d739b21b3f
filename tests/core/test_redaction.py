import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.redaction import without_values

VALUES = st.text(st.characters(exclude_characters="\0"), min_size=1).map(lambda text: f"<{text}>")
DUPLICATE = """ERROR:  duplicate key value violates unique constraint "people_email_key"
DETAIL:  Key (email)=({}) already exists."""
MISSING = """ERROR:  null value in column "born" violates not-null constraint
DETAIL:  Failing row contains (1, {}, null)."""
ARRAY = """ERROR:  malformed array literal: "{}"
CONTEXT:  COPY people, line 3, column email: "{}\""""
NO_KEY = "[libpq] Failed to execute query: ERROR: Key (email, born)=({}) is no key of ours"
SYNTAX = 'ERROR:  invalid input syntax for type integer: "{}"'
SAID = (
    DUPLICATE,
    MISSING,
    ARRAY,
    NO_KEY,
    SYNTAX,
    'ERROR:  date/time field value out of range: "{}"\nHINT:  Perhaps another "datestyle"?',
    'ERROR:  value "{}" is out of range for type integer',
)


@pytest.mark.parametrize("said", SAID)
@given(value=VALUES)
def test_a_value_is_never_told(said: str, value: str) -> None:
    assert value not in without_values(said.replace("{}", value))


@pytest.mark.parametrize(
    "said",
    [
        'ERROR:  column "amuont" does not exist\nLINE 1: SELECT amuont FROM orders',
        'FATAL:  password authentication failed for user "ada"',
        'could not translate host name "nowhere" to address',
        'ERROR:  relation "ordres" does not exist',
    ],
)
def test_what_names_no_value_is_told_whole(said: str) -> None:
    assert without_values(said) == said


def test_what_went_wrong_is_still_said() -> None:
    assert without_values(SYNTAX.replace("{}", "Ada")) == (
        "ERROR:  invalid input syntax for type integer: …"
    )
    refused = without_values(NO_KEY.replace("{}", "Ada"))
    assert refused.endswith("Key (email, born)=(…) is no key of ours")
