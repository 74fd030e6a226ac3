"""Artefacts are made once, whole or not at all."""

import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proactrec.errors import ArtefactError
from proactrec.fitting import artefacts
from proactrec.fitting.artefacts import CHECKPOINT, MANIFEST, ArtefactStore

INPUTS = {"seed": 1, "options": {"b": 2, "a": (1, 2)}}


def fill(folder: Path) -> None:
    (folder / "x.txt").write_text("hello")


def never(folder: Path) -> None:
    raise AssertionError(f"{folder} was made again")


def finished(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith("."))


def test_artefact_is_made_once(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path / "new" / "store")
    first = store.get_or_make("kind", INPUTS, fill)
    assert (first.folder / "x.txt").read_text() == "hello"
    assert not first.is_reused
    again = ArtefactStore(store.root).get_or_make("kind", INPUTS, never)
    assert again == first._replace(is_reused=True)
    assert finished(store.root) == [first.key]


def test_name_depends_on_kind_and_inputs_not_on_their_order(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    first = store.get_or_make("kind", INPUTS, fill)
    turned = {"options": {"a": [1, 2], "b": 2}, "seed": 1}
    assert store.get_or_make("kind", turned, never).key == first.key
    others = [
        store.get_or_make("other", INPUTS, fill),
        store.get_or_make("kind", {**INPUTS, "seed": 2}, fill),
        store.get_or_make("kind", {**INPUTS, "more": None}, fill),
    ]
    assert len({first.key, *(other.key for other in others)}) == 4


def test_manifest_tells_what_it_was_made_from(tmp_path: Path) -> None:
    made = ArtefactStore(tmp_path).get_or_make("kind", INPUTS, fill)
    manifest = json.loads((made.folder / MANIFEST).read_text())
    assert manifest["kind"] == "kind"
    assert manifest["inputs"] == json.loads(json.dumps(INPUTS))
    assert list(manifest["files"]) == ["x.txt"]
    assert manifest["seconds"] == made.seconds


def test_failed_make_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)

    def breaks(folder: Path) -> None:
        fill(folder)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        store.get_or_make("kind", INPUTS, breaks)
    assert finished(tmp_path) == []
    assert not store.get_or_make("kind", INPUTS, fill).is_reused


def test_checkpoint_of_a_failed_make_is_found_again_and_then_removed(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)

    def breaks(folder: Path) -> None:
        (folder / CHECKPOINT).write_text("half")
        raise KeyboardInterrupt

    def resumes(folder: Path) -> None:
        assert (folder / CHECKPOINT).read_text() == "half"
        fill(folder)

    with pytest.raises(KeyboardInterrupt):
        store.get_or_make("kind", INPUTS, breaks)
    made = store.get_or_make("kind", INPUTS, resumes)
    assert sorted(path.name for path in made.folder.iterdir()) == [MANIFEST, "x.txt"]


def changed(folder: Path) -> None:
    (folder / "x.txt").write_text("hellO")


def gone(folder: Path) -> None:
    (folder / "x.txt").unlink()


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def cut_manifest(folder: Path) -> None:
    path = folder / MANIFEST
    path.write_text(path.read_text()[:-30])


def odd_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("[]")


@pytest.mark.parametrize("damage", [changed, gone, without_manifest, cut_manifest, odd_manifest])
def test_damaged_artefact_is_refused(tmp_path: Path, damage: object) -> None:
    store = ArtefactStore(tmp_path)
    made = store.get_or_make("kind", INPUTS, fill)
    damage(made.folder)  # type: ignore[operator]
    wanted = re.escape(f"artefact {made.folder} is damaged")
    with pytest.raises(ArtefactError, match=wanted):
        store.get_or_make("kind", INPUTS, never)


SCRIPT = """
import sys, time
from pathlib import Path
from proactrec.fitting.artefacts import ArtefactStore

root, pause = Path(sys.argv[1]), float(sys.argv[2])

def make(folder):
    with (root / "calls").open("a") as calls:
        calls.write("x")
    (folder / "checkpoint.safetensors").write_text("half")
    (folder / "x.txt").write_text("hel")
    time.sleep(pause)
    (folder / "x.txt").write_text("hello")

made = ArtefactStore(root / "store").get_or_make("kind", {}, make)
print((made.folder / "x.txt").read_text(), made.is_reused)
"""


def start(root: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(root), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for_calls(root: Path) -> None:
    for _ in range(600):
        if (root / "calls").exists() and list(root.glob("store/.kind*/x.txt")):
            return
        time.sleep(0.05)
    raise AssertionError("the subprocess never began")


def test_killed_process_leaves_no_artefact_and_the_next_one_finishes(tmp_path: Path) -> None:
    process = start(tmp_path, 60)
    wait_for_calls(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert finished(tmp_path / "store") == []
    assert list(tmp_path.glob("store/.kind*/checkpoint.safetensors"))
    out, _ = start(tmp_path, 0).communicate()
    assert out.split() == ["hello", "False"]
    assert (tmp_path / "calls").read_text() == "xx"


def test_who_waits_for_another_process_is_told_for_whom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artefacts, "TELL_EVERY_S", 0.2)
    process, told = start(tmp_path, 2), []
    wait_for_calls(tmp_path)
    store = ArtefactStore(tmp_path / "store", lambda *now: told.append(now))
    made = store.get_or_make("kind", {}, never)
    assert process.communicate()[0].split() == ["hello", "False"]
    holder = f"process {process.pid} on {platform.node()}"
    assert set(told) == {("waiting", 0, 1, f"for {made.key}, made by {holder}")}
    told.clear()
    store.get_or_make("kind", {}, never)
    assert not told


def test_two_processes_at_once_make_it_once(tmp_path: Path) -> None:
    both = [start(tmp_path, 1), start(tmp_path, 1)]
    outs = sorted(process.communicate()[0].split() for process in both)
    assert outs == [["hello", "False"], ["hello", "True"]]
    assert (tmp_path / "calls").read_text() == "x"


def test_leftovers_of_a_failed_make_do_not_get_into_the_artefact(tmp_path: Path) -> None:
    def break_off(folder: Path) -> None:
        (folder / "half.tmp").write_text("half")
        raise KeyboardInterrupt

    store = ArtefactStore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.get_or_make("kind", {}, break_off)
    folder = store.get_or_make("kind", {}, fill).folder
    assert "half.tmp" not in {path.name for path in folder.iterdir()}
