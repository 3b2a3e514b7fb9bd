"""The door of every job: settings in, exit code out; every fault is one clear message."""

from __future__ import annotations

import logging
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from demand.errors import SHOWN, ClusterError, DataError, DemandError, SettingsError, StorageError, VersionNotFound
from demand.masking import masked
from jobs import compose
from jobs.settings import Settings

ROOMS = ("demand", "features", "models", "evaluation", "jobs", "serve_app")
WIDTH = 80
OK, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


def run(job: str, body: Callable[[Settings], int], argv: Sequence[str] | None = None) -> NoReturn:
    """Runs `body` with the settings of `job` and exits: 0 done, 1 something failed, 2 refused before or by its inputs.

    Refused are settings, data, storage, cluster, and a release that is not there. `body` returns its own exit code.
    Ctrl-C exits with 130.
    """
    sys.exit(exit_code(job, body, sys.argv[1:] if argv is None else argv))


def exit_code(job: str, body: Callable[[Settings], int], argv: Sequence[str]) -> int:
    """As `run`, but returns the code."""
    debug = False
    try:
        if "--help" in argv or "-h" in argv:
            print(compose.help_text(job), flush=True)
            return OK
        settings = compose.load(job, argv)
        debug = settings.log_level == "DEBUG"
        start_logging(settings.log_level)
        return body(settings)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `| head` has read enough; nothing more can be printed, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print("The reader of the output has gone.", file=sys.stderr)
        return FAILED
    except Exception as error:  # noqa: BLE001 - the outermost door: whatever happened becomes a message and a code
        return _report(error, debug)


def start_logging(level: str) -> None:
    """Our rooms log at `level`, libraries only warnings, to stderr; passwords in addresses are masked."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Masking("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)  # those of libraries are for who looks into the program
    logging.getLogger("py.warnings").setLevel(logging.WARNING if level == "DEBUG" else logging.ERROR)
    for room in ROOMS:
        logging.getLogger(room).setLevel(level)


def message_lines(error: DemandError, width: int = WIDTH) -> Iterator[str]:
    """The message of an error: type and sentence, one line a fact, what to do; none is wider than `width`."""
    yield from _wrapped(f"{type(error).__name__}: {masked(error.message)}", "", width)
    for name, value in error.shown_facts().items():
        fact = error.facts[name]
        if isinstance(fact, list | tuple) and fact and all(isinstance(item, str) for item in fact):
            yield f"  {name}:"
            shown = fact if name == "faults" else fact[:SHOWN]  # each fault is one thing to do
            for item in shown:
                yield from _wrapped(f"- {masked(item)}", "    ", width)
            if len(fact) > len(shown):
                yield f"    .. {len(fact)} in all"
        else:
            yield from _wrapped(f"{name}: {value}", "  ", width)
    if error.hint:
        yield from _wrapped(f"What to do: {error.hint}", "  ", width)


def _report(error: Exception, debug: bool) -> int:
    # An exception that crossed Ray carries ours as its cause.
    cause: Any = getattr(error, "cause", None)
    known = error if isinstance(error, DemandError) and hasattr(error, "facts") else cause
    if debug:
        print(masked("".join(traceback.format_exception(error))), file=sys.stderr)
    if isinstance(known, DemandError):
        print("\n".join(message_lines(known)), file=sys.stderr)
        refused = (SettingsError, DataError, StorageError, ClusterError, VersionNotFound)
        return REFUSED if isinstance(known, refused) else FAILED
    text = masked(f"{type(error).__name__}: {error}".strip())  # before it is cut and wrapped
    lines = [*_wrapped(text[:2000], "", WIDTH)]
    if error.__cause__ is not None:
        cause = masked(f"caused by {type(error.__cause__).__name__}: {error.__cause__}")
        lines += _wrapped(cause[:2000], "  ", WIDTH)
    lines += ["  This is a fault of the program, not of your input.", "  What to do: run again with log_level=DEBUG"]
    print("\n".join(lines), file=sys.stderr)
    return FAILED


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent + "  ")


class _Masking(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))
