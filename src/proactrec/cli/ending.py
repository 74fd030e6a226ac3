"""How a command ends that can't go on: one sentence on standard error, and its exit code."""

import errno
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from proactrec.cli.streams import say
from proactrec.errors import ProactrecError

REFUSED, STOPPED = 2, 130
LIBRARIES = (("polars.exceptions", "PolarsError"), ("safetensors", "SafetensorError"))
"""Whose errors files can cause; what is not loaded yet has raised none."""
TOO_LARGE = re.compile(
    r"allocat|out of memory|size calculation overflowed|multiplication overflow|array is too big"
    r"|Maximum allowed dimension",
    re.IGNORECASE,
)
ASKED = re.compile(r"you tried to allocate (\d+) bytes")
SMALLER = (
    "take fewer users, targets or rounds, or shorter vectors: `proactrec estimate` says what a "
    "size costs"
)
PLAINLY = {
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.ENAMETOOLONG: "its name is too long",
}


def refuse(sentence: str) -> int:
    """Say what is wrong, on one line; the exit code."""
    with suppress(OSError):
        finish_output()
    if sentence:  # empty where a group without a command has shown its help
        gone = "" if _has_folder() else " (the working folder is gone: change into another one)"
        say("error: " + " ".join(sentence.split()) + gone, is_error=True)
    return REFUSED


def sentence_of(error: Exception) -> str | None:
    """What an error says to who can do something about it; None: it is a mistake of ours."""
    name = type(error).__name__
    if isinstance(error, (ProactrecError, *_of_libraries())):
        return str(error) or name
    if isinstance(error, RecursionError) and "JSON" in str(error):
        return "a JSON file is nested deeper than can be read"
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return f"a name must be UTF-8 text, got {error.object[:80]!a}"
    if isinstance(error, MemoryError | RuntimeError | ValueError | OverflowError):
        return _of_size(error)
    return _of_file(error) if isinstance(error, OSError) else None


def is_told_to_stop(error: Exception) -> bool:
    """Whether it is what Pydantic makes of Ctrl-C or SIGTERM that come while it writes options."""
    return (
        type(error).__name__ == "PydanticSerializationError" and "KeyboardInterrupt" in f"{error}"
    )


@contextmanager
def told_to_stop() -> Iterator[Callable[[], int]]:
    """SIGTERM stops a command as Ctrl-C does; gives how to say so, which returns the exit code."""
    told: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        told.append(number)
        raise KeyboardInterrupt

    def say_so() -> int:
        say("stopped; the same command goes on from here", is_error=True)
        return 128 + told[0] if told else STOPPED

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield say_so
    finally:
        signal.signal(signal.SIGTERM, before)


def finish_output() -> None:
    """Write what is left to be printed now, where an error can still be told.

    Raises
    ------
    OSError
        If nobody reads it (BrokenPipeError) or there is no room; the rest is dropped then.
    """
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _of_libraries() -> tuple[type[Exception], ...]:
    loaded = ((sys.modules.get(module), name) for module, name in LIBRARIES)
    return tuple(getattr(module, name) for module, name in loaded if module is not None)


def _of_size(error: Exception) -> str | None:
    """Of what is larger than memory, or than a number may be."""
    said = str(error) or type(error).__name__
    if isinstance(error, OverflowError):
        return f"a number is too large to be counted with: {said}"
    if not (isinstance(error, MemoryError) or TOO_LARGE.search(said)):
        return None
    asked = ASKED.search(said)
    if asked:
        said = f"{int(asked[1]) / 2**30:,.1f} GiB were asked for at once"
    return f"there is not enough memory for this size ({said.splitlines()[0]}): {SMALLER}"


def _of_file(error: OSError) -> str:
    """The file, and why it can't be used."""
    if error.strerror is None:
        return str(error) or type(error).__name__
    why = PLAINLY.get(error.errno or 0, error.strerror)
    names = [str(one) for one in (error.filename, error.filename2) if one is not None]
    return f"{' and '.join(names)}: {why}" if names else why


def _has_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True
