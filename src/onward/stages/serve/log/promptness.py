"""Asking Linux to let a thread run when it wakes, not when others have had their turn.

Since Linux 6.12 a thread may say how long its turns are to be (`sched_setattr(2)`, the field
`sched_runtime` of a fair policy). One with short turns gets no more of the processor than others,
and gets it sooner: when it wakes it need not wait until the one that runs has had its own, which
on a busy processor takes until the scheduler's next tick, 4 ms at 250 Hz. For a thread that wakes
when the disk is done and has a few microseconds' work, that is twenty times what the disk takes.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Final

TURN_NS: Final = 100_000
"""The shortest turn that Linux grants."""

_NUMBERS: Final = {"x86_64": 314, "aarch64": 274, "riscv64": 274}
"""The system call's number by machine: Python has no name for it, nor has the C library of most."""

_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQ")
"""size, policy, flags, nice, priority, runtime, deadline, period"""


def prompt(turn_ns: int = TURN_NS) -> bool:
    """Ask for short turns for the calling thread; return whether Linux was asked and agreed.

    A thread of another policy than the ordinary one keeps its own. An older Linux agrees and
    does nothing.
    """
    number = _NUMBERS.get(platform.machine())
    if platform.system() != "Linux" or number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, 0)  # of this thread: Linux has one for each
    wished = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, turn_ns, 0, 0)
    return bool(ctypes.CDLL(None).syscall(number, 0, wished, 0) == 0)
