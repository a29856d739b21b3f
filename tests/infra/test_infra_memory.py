"""Memory that a job took is the system's again."""

from __future__ import annotations

import subprocess
import sys

_KEPT = """
import re
from pathlib import Path
import pyarrow as pa
from onward.infra.memory import give_back

def mb():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10

before = mb()
held = [pa.array(range(20_000)) for _ in range(600)]  # 96 MB in pieces, as batches are
most = mb()
del held
give_back()
print(before, most, mb())
"""


def test_what_arrow_held_for_a_job_is_given_back() -> None:
    said = subprocess.run(
        [sys.executable, "-c", _KEPT], check=True, capture_output=True, text=True
    ).stdout
    before, most, after = map(int, said.split())
    assert most > before + 80
    assert after - before < (most - before) / 2


def test_it_can_be_called_when_nothing_is_free() -> None:
    from onward.infra.memory import give_back

    give_back()
    give_back()
