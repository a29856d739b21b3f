import pytest
from hypothesis import given
from hypothesis import strategies as st

from onward.core.errors import NotFoundError
from onward.core.refs import KINDS, Ref, parse_ref, ref


@given(
    st.sampled_from(KINDS),
    st.text(min_size=1).filter(lambda name: "@" not in name),
    st.none() | st.text(),
)
def test_a_ref_reads_back_as_it_was_written(kind, name, version):
    assert parse_ref(ref(kind, name, version)) == Ref(kind, name, version)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("snapshot:raw.flights@123", Ref("snapshot", "raw.flights", "123")),
        ("prediction:018f", Ref("prediction", "018f")),
        ("image:late@sha256:ab12", Ref("image", "late", "sha256:ab12")),
        ("training:", None),
        ("model:@7", None),
    ],
)
def test_refs_as_people_type_them(text, found):
    if found:
        assert parse_ref(text) == found
        assert str(found) == text
    else:
        with pytest.raises(NotFoundError, match="names nothing"):
            parse_ref(text)


@pytest.mark.parametrize("text", ["modle:late@7", "late", ""])
def test_an_unknown_kind_is_refused_with_the_nearest(text):
    with pytest.raises(NotFoundError) as refused:
        parse_ref(text)
    assert "kind:name@version" in str(refused.value)
    assert ("did you mean 'model'" in str(refused.value)) == text.startswith("modle")


def test_a_version_may_be_a_number():
    assert ref("model", "late", 7) == "model:late@7"
