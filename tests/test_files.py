"""Files are replaced whole or stay as they were."""

import json
import os
from pathlib import Path

import pytest

from proactrec.errors import InvalidInputError
from proactrec.files import replacing, write_json, write_text


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
