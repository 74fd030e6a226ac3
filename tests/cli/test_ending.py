"""How commands end that can't go on: a sentence and a code, whatever stopped them."""

import errno
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from pydantic import field_serializer

from proactrec.cli import ending
from proactrec.cli.main import main
from proactrec.config import Options
from proactrec.errors import AccessError, InvalidInputError

BYTES = 2**60


def caught(cause: Callable[[], object]) -> Exception:
    """The error that something ends in."""
    try:
        cause()
    except Exception as error:
        return error
    pytest.fail("it ended well")


@pytest.mark.parametrize(
    "cause",
    [
        lambda: torch.empty(BYTES, dtype=torch.uint8),
        lambda: torch.empty(2**40, 2**40),
        lambda: np.empty(BYTES, np.uint8),
        lambda: np.empty((2**40, 2**40)),
        lambda: bytes(BYTES),
    ],
    ids=["torch", "torch's size", "numpy", "numpy's size", "python"],
)
def test_what_is_too_large_for_the_machine_is_told(cause: Callable[[], object]) -> None:
    sentence = ending.sentence_of(caught(cause))
    assert sentence is not None
    assert sentence.startswith("there is not enough memory for this size (")
    assert "`proactrec estimate` says what a size costs" in sentence


def test_bytes_that_torch_asked_for_are_told() -> None:
    error = caught(lambda: torch.empty(BYTES, dtype=torch.uint8))
    assert "(1,073,741,824.0 GiB were asked for at once)" in str(ending.sentence_of(error))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OverflowError("int too big"), "a number is too large to be counted with: int too big"),
        (InvalidInputError("k must be at least 1, got 0"), "k must be at least 1, got 0"),
        (AccessError("the key is wrong"), "the key is wrong"),
        (InvalidInputError(), "InvalidInputError"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), "x: No such file"),
        (OSError(errno.EXDEV, "Other device", "x", None, "y"), "x and y: Other device"),
        (OSError(errno.ENOSPC, "No space left"), "No space left"),
        (OSError(errno.ELOOP, "Too many levels", "x"), "x: its symbolic links lead in a circle"),
        (OSError(errno.ENAMETOOLONG, "Too long", "x"), "x: its name is too long"),
        (OSError("it broke"), "it broke"),
        (pl.exceptions.NoDataError("empty"), "empty"),
    ],
)
def test_what_a_user_can_cause_is_a_sentence(error: Exception, sentence: str) -> None:
    assert ending.sentence_of(error) == sentence


@pytest.mark.parametrize("error", [ValueError("odd"), RuntimeError("odd"), KeyError("x")])
def test_our_own_mistakes_are_shown_as_they_are(error: Exception) -> None:
    assert ending.sentence_of(error) is None


class Interrupted(Options):
    """Ctrl-C comes while it is written."""

    n: int = 1

    @field_serializer("n")
    def _written(self, n: int) -> int:
        raise KeyboardInterrupt


def test_what_comes_while_options_are_written_stops_as_well() -> None:
    assert ending.is_told_to_stop(caught(Interrupted().model_dump))
    assert not ending.is_told_to_stop(ValueError("KeyboardInterrupt"))


@pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_told_to_stop_it_says_how_to_go_on(
    how: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    before = signal.getsignal(signal.SIGTERM)
    with ending.told_to_stop() as say_so:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(how)
        assert say_so() == code
    assert capsys.readouterr().err == "stopped; the same command goes on from here\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_working_folder_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "argv", ["proactrec", "evaluate", "runs/x"])
    with pytest.raises(SystemExit):
        main()
    assert "(the working folder is gone: change into another one)" in capsys.readouterr().err


def ended(shell: str) -> "subprocess.CompletedProcess[str]":
    """A command line with the shell's redirections."""
    program = f"'{sys.executable}' -m proactrec"
    return subprocess.run(
        shell.replace("proactrec", program, 1), shell=True, capture_output=True, text=True
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_output_without_room_is_told() -> None:
    done = ended("proactrec worlds > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device\n"


def test_output_that_nobody_reads_ends_quietly() -> None:
    done = ended("{ proactrec worlds; echo code $? >&2; } | true")
    assert done.stderr in ("code 1\n", "code 0\n")  # 0: it was written before the pipe closed


def test_closed_streams_are_no_trouble() -> None:
    assert ended("proactrec worlds >&-").returncode == 0
    assert ended("proactrec worlds --wrong 2>&-").returncode == 2
