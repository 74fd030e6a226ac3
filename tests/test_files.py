"""Files are replaced whole or stay as they were."""

import json
from pathlib import Path

import pytest

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


def test_what_has_no_utf_8_does_not_stop_a_page(tmp_path: Path) -> None:
    assert write_text(tmp_path / "x.html", "a\ud800b").read_text() == "a?b"
