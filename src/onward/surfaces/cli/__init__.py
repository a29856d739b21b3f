"""The command line: thin commands over `onward.app`, each with ``--json`` and an example.

Exit codes: 0 done · 1 failed · 2 a wrong declaration, name or option · 3 data · 4 a gate said no
· 5 something else holds what is needed · 6 stored state is damaged · 7 a server does not answer.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line; a user's mistake ends in its message, never in a traceback."""
    from onward.core.errors import OnwardError
    from onward.surfaces.cli.commands import cli
    from onward.surfaces.cli.usage import call

    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have had the first ignored
        signal.signal(number, signal.default_int_handler)
    try:
        sys.exit(call(cli))
    except OnwardError as error:
        from onward.surfaces.cli.show import show_error

        show_error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:
        from onward.core.disk import full

        told = full(error)
        if told is None:
            raise
        from onward.surfaces.cli.show import show_error

        show_error(told)
        sys.exit(told.exit_code)
