"""Whether others want the processor."""

import time

import pytest

from onward.stages.serve.gateway.shadow.contention import SCHEDSTAT, Contention


def test_who_waited_longer_than_it_ran_feels_it(tmp_path):
    counted = tmp_path / "schedstat"
    counted.write_text("1000 500 3\n")
    contention = Contention(counted)
    for ran, waited, felt in ((1000, 500, False), (1500, 900, False), (1600, 1001, True)):
        counted.write_text(f"{ran} {waited} 4\n")
        assert contention.felt() is felt
    assert not contention.felt()


@pytest.mark.parametrize("said", [None, "", "no figures here"])
def test_where_nobody_counts_nothing_is_felt(tmp_path, said):
    counted = tmp_path / "schedstat"
    if said is not None:
        counted.write_text(said)
    assert not Contention(counted).felt()


@pytest.mark.skipif(not SCHEDSTAT.exists(), reason="this system does not count it")
def test_linux_counts_what_a_thread_ran():
    def ran() -> int:
        return Contention()._ran

    before, end = ran(), time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert ran() - before >= 40_000_000
