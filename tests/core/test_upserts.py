from onward.core import upserts


def test_a_tables_state_tells_how_its_rows_are_merged():
    state = dict(upserts.entry(["id", "part"], "seen"))
    assert upserts.told(state) == (("id", "part"), "seen")
    assert upserts.told(dict(upserts.entry(["id"], None))) == (("id",), None)
    assert upserts.told({}) is None


def test_a_table_can_be_added_to_again():
    state = dict(upserts.entry(["id"], "seen"))
    state |= upserts.cleared(state)
    assert upserts.told(state) is None
    assert upserts.cleared(state) == {}
    assert upserts.cleared({}) == {}
