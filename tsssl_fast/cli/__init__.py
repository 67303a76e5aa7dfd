"""The command `tsssl-fast`: results on stdout, all else on stderr.

Bad input ends in one line and a non-zero exit status. What the library says by `warnings` and by
its logger is a line each.
"""

import logging
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tsssl_fast.cli.flags import with_flags

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

        from tsssl_fast.cli.bench import app  # the commands of all modules
    except ImportError as error:
        return _fail(f"{error}; {EXTRA}", 1)
    # The root of typer's usage errors; from click, or from the copy of it that newer typers carry.
    usage_error: Any = typer.BadParameter.__mro__[2]
    command: Any = getattr(typer.main.get_command(app), "commands", {}).get("".join(arguments[:1]))
    try:
        with _spoken():
            status = app(args=list(arguments), prog_name="tsssl-fast", standalone_mode=False) or 0
        if status == INTERRUPTED:  # newer typers catch the keyboard themselves, and say nothing
            raise KeyboardInterrupt
        return int(status)
    except usage_error as error:
        return _fail(f"{error.format_message()} (tsssl-fast --help lists the commands)", 2)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted; a run with a checkpoint goes on with --resume", INTERRUPTED)
    except ImportError as error:
        said = _with_flag(str(error), command)
        return _fail(said if "pip install" in said else f"{said}; {EXTRA}", 1)
    except (ValueError, TypeError, OSError, FloatingPointError, BackendUnavailableError) as error:
        return _fail(_with_flag(str(error), command) or type(error).__name__, 1)
    except (MemoryError, RuntimeError) as error:  # torch has no class of its own for the CPU's
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        return _fail(f"memory: {' '.join(str(error).split()) or 'there is not enough'}", 1)


@contextmanager
def _spoken() -> Iterator[None]:
    """Warnings and log records of this package as one line on stderr; those of others as ever."""
    before = warnings.showwarning

    def show(message: Any, category: Any, *place: Any, **named: Any) -> None:
        if category.__module__.startswith("tsssl_fast"):
            print(f"tsssl-fast: warning: {with_flags(str(message))}", file=sys.stderr)
        else:
            before(message, category, *place, **named)

    logger, handler = logging.getLogger("tsssl_fast"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kind = "warning" if record.levelno >= logging.WARNING else "note"
        return f"tsssl-fast: {kind}: {with_flags(super().format(record))}"


def _fail(message: str, status: int) -> int:
    print(f"tsssl-fast: error: {with_flags(' '.join(message.split()))}", file=sys.stderr)
    return status


def _with_flag(message: str, command: Any) -> str:
    """`batch_size: 25; ...`, as the library has it, with the command's option; DATA stays, which
    some commands take as an argument."""
    name = message.partition(":")[0]
    for option in getattr(command, "params", ()):
        flag = option.opts[0]
        if name in (option.name, f"{option.name}s") and name != "data" and flag[0] == "-":
            return f"{flag}{message[len(name) :]}"
    return message
