"""The gateway's process: ``python -m onward.stages.serve.gateway --config FILE``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from onward.core.errors import OnwardError
from onward.stages.serve.gateway.settings import read_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a gateway to its end and return its exit status."""
    parser = argparse.ArgumentParser(prog="onward.stages.serve.gateway", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="a GatewayConfig in JSON")
    try:
        config = read_config(parser.parse_args(arguments).config)
        import uvloop

        from onward.stages.serve.gateway.worker import serve

        uvloop.run(serve(config))
    except OnwardError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
