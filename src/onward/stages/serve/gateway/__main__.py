"""The gateway's process: ``python -m onward.stages.serve.gateway --config FILE``.

One worker is this process. More are its children, each told its place on the command line.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from onward.core.errors import OnwardError
from onward.stages.serve.gateway.settings import read_config

YOUNG: Final = 50_000
"""How many objects a worker makes, over those that it let go, until the collector looks at them.

A turn's requests are some thousand objects, all gone with their answers, and Python's own 700 has
the collector look at them, in vain, in every turn: and now and then at all there is, libraries
too, which stops the worker for 40 ms.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a gateway, or one of its workers, to its end and return its exit status."""
    parser = argparse.ArgumentParser(prog="onward.stages.serve.gateway", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a GatewayConfig in JSON")
    place = parser.add_argument_group("a worker's place, as its supervisor tells it")
    place.add_argument("--id")
    place.add_argument("--slot", type=int)
    place.add_argument("--control", type=int)
    place.add_argument("--listeners", type=int, nargs="+")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except OnwardError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code


def _run(given: argparse.Namespace) -> int:
    config = read_config(given.config)
    if given.slot is None and config.workers > 1:
        from onward.stages.serve.gateway.process.supervisor import Supervisor

        return asyncio.run(Supervisor(config, given.config).run())
    import uvloop

    from onward.stages.serve.gateway.process.place import STACKS, Place
    from onward.stages.serve.gateway.process.worker import serve

    place = None
    if given.slot is not None:
        faulthandler.register(STACKS)  # the supervisor asks for them where the loop hangs
        place = Place(
            id=given.id, slot=given.slot, listeners=tuple(given.listeners), control=given.control
        )
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
    uvloop.run(serve(config, place))
    return 0


if __name__ == "__main__":
    sys.exit(main())
