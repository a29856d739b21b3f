from ibis import _

import onward as ow


def test_a_check_judges_rows_and_a_batch_check_the_batch():
    row, batch = ow.check("positive", _.x > 0), ow.batch_check("enough", _.count() > 10)
    assert (row.name, row.scope) == ("positive", "row")
    assert (batch.name, batch.scope) == ("enough", "batch")
    assert row.location.file == __file__


def test_a_rule_may_be_a_function():
    def rule(table):
        return table.x > 0

    assert ow.check("positive", rule).rule is rule
