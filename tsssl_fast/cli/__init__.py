"""The command `tsssl-fast`: bad input ends in one line on stderr and a non-zero exit status."""

import signal
import sys
from collections.abc import Sequence
from typing import Any

INTERRUPTED = 130
EXTRA = "the commands need the extra `train`: pip install 'tsssl_fast[train]'"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits: 0 done, 1 bad input or run, 2 bad usage, 130 interrupted.

    SIGTERM interrupts as the keyboard does.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """As `main`, but returns the exit status."""
    from tsssl_fast.backends.dispatch import BackendUnavailableError

    try:
        import typer

        from tsssl_fast.cli.after import app  # the commands of both modules
    except ImportError as error:
        return _fail(f"{error}; {EXTRA}", 1)
    # The root of typer's usage errors; from click, or from the copy of it that newer typers carry.
    usage_error: Any = typer.BadParameter.__mro__[2]
    try:
        status = app(args=list(arguments), prog_name="tsssl-fast", standalone_mode=False) or 0
        if status == INTERRUPTED:  # newer typers catch the keyboard themselves, and say nothing
            raise KeyboardInterrupt
        return int(status)
    except usage_error as error:
        return _fail(f"{error.format_message()} (tsssl-fast --help lists the commands)", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; a run with a checkpoint goes on with --resume", INTERRUPTED)
    except ImportError as error:
        return _fail(f"{error}; {EXTRA}", 1)
    except (ValueError, TypeError, OSError, FloatingPointError, BackendUnavailableError) as error:
        return _fail(str(error) or type(error).__name__, 1)


def _fail(message: str, status: int) -> int:
    print(f"tsssl-fast: error: {' '.join(message.split())}", file=sys.stderr)
    return status
