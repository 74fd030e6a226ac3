"""Files are replaced whole or stay as they were."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proactrec.errors import InvalidInputError
from proactrec.files import _is_there, alone_in, replacing, write_json, write_text


def test_json_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": [1]})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": [1]}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_fails_half_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = write_text(tmp_path / "new" / "x.bin", "old")

    def break_off() -> None:
        with replacing(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_only_files_are_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(InvalidInputError, match=f"{name} is there and no file: choose"):
            write_text(tmp_path / name, "x")
    assert (tmp_path / "pipe").is_fifo()
    assert {one.name for one in tmp_path.iterdir()} == {"pipe", "folder"}


def test_what_has_no_utf_8_does_not_stop_a_page(tmp_path: Path) -> None:
    assert write_text(tmp_path / "x.html", "a\ud800b").read_text() == "a?b"


HOLDS = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print("has it", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(lock: Path) -> Iterator[None]:
    """Another process has a lock meanwhile, and is killed."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDS, lock], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"has it\n"
        yield
        other.kill()


@pytest.mark.parametrize(("is_replaced", "lock"), [(False, "out/.lock"), (True, ".out.lock")])
def test_one_command_at_a_time_writes_a_folder(
    is_replaced: bool, lock: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with (
        held(tmp_path / lock),
        pytest.raises(InvalidInputError, match=f"another command is writing into {out}: wait"),
        alone_in(out, is_replaced=is_replaced),
    ):
        raise AssertionError
    assert (tmp_path / lock).exists()  # who was killed leaves it, and is in nobody's way
    with alone_in(out, is_replaced=is_replaced):
        assert (tmp_path / lock).exists()
    assert list(tmp_path.rglob("*")) == [out]


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_folder_in_which_nothing_was_written_is_gone(is_replaced: bool, tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidInputError, match="refused"),
        alone_in(tmp_path / "runs" / "out", is_replaced=is_replaced),
    ):
        raise InvalidInputError("refused")
    assert not list(tmp_path.iterdir())
    with alone_in(tmp_path / "runs" / "out", is_replaced=is_replaced):
        write_text(tmp_path / "runs" / "out" / "x", "x")
    assert [path.name for path in tmp_path.rglob("*")] == ["runs", "out", "x"]


def test_who_opened_a_lock_that_is_then_deleted_takes_the_new_one(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as old:
        assert _is_there(tmp_path / "lock", old.fileno())
        (tmp_path / "lock").unlink()
        assert not _is_there(tmp_path / "lock", old.fileno())
        (tmp_path / "lock").write_text("")
        assert not _is_there(tmp_path / "lock", old.fileno())
