"""A guide without a user: no byte of them is left, and everybody else is guided as before."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from safetensors.torch import load_file

from proactrec import files
from proactrec.errors import UnknownIdError
from proactrec.guidance.forgetting import forget
from proactrec.guidance.saved import open_guide, read_about
from proactrec.guidance.tomorrow import People
from proactrec.serving.guides import Guides

from .fitted import N_USERS, POLICIES, log, played

TARGETS = ("i03", "i10")
GONE, ROW = "u07", 7
OTHERS = [f"u{n:02}" for n in range(N_USERS) if n != ROW]


def without(fitted: Path, policy: str, tmp_path: Path) -> Path:
    folder = shutil.copytree(fitted / policy, tmp_path / "guide")
    assert forget(folder, GONE) == ROW
    return folder


@pytest.mark.parametrize("policy", POLICIES)
def test_all_others_are_guided_as_before(policy: str, fitted: Path, tmp_path: Path) -> None:
    folder = without(fitted, policy, tmp_path)
    events = log().events.filter(pl.col("user_id") != GONE)
    before, after = (
        played(People.of(open_guide(one), events, OTHERS), TARGETS)[0]
        for one in (fitted / policy, folder)
    )
    assert before[2].height == len(OTHERS) * len(TARGETS)
    for one, other in zip(before, after, strict=True):
        assert_frame_equal(one, other, check_exact=True)


@pytest.mark.parametrize("policy", ["foresight", "irn, replan", "prorl, replan", "itmprec"])
def test_no_byte_of_the_user_is_left(policy: str, fitted: Path, tmp_path: Path) -> None:
    def holding(folder: Path) -> set[str]:
        contents = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        found = {path.name for path, content in contents.items() if GONE.encode() in content}
        table = pl.read_parquet(folder / "users.parquet")  # which is compressed
        return found | ({"users.parquet"} if GONE in set(table["user_id"]) else set())

    folder = without(fitted, policy, tmp_path)
    assert holding(fitted / policy) >= {"users.parquet"}
    assert holding(folder) == set()
    known = open_guide(folder).known
    assert GONE not in known.index
    assert (known.history.lengths[ROW], known.n_fitted[ROW]) == (0, 0)
    assert known.is_there.sum() == N_USERS - 1
    assert known.index["u08"] == 8
    assert read_about(folder)["n_users"] == N_USERS - 1


def test_vectors_of_the_user_are_those_of_nobody(fitted: Path, tmp_path: Path) -> None:
    folder, views = without(fitted, "foresight", tmp_path), "models/views/views.safetensors"
    old, new = (load_file(one / views) for one in (fitted / "foresight", folder))
    others = torch.arange(N_USERS) != ROW
    assert torch.equal(old["user_vectors"][others], new["user_vectors"][others])
    assert torch.equal(new["user_vectors"][ROW], old["user_vectors"][others].mean(0))
    for name in set(old) - {"user_vectors"}:
        assert torch.equal(old[name], new[name])


def test_it_is_the_same_guide_which_has_forgotten_several(fitted: Path, tmp_path: Path) -> None:
    folder = without(fitted, "irn, replan", tmp_path)
    assert Guides(folder).name == Guides(fitted / "irn, replan").name
    assert forget(folder, "u03") == 3
    assert set(open_guide(folder).known.index) == set(OTHERS) - {"u03"}
    assert list(folder.parent.iterdir()) == [folder]


def test_who_is_unknown_is_not_forgotten(fitted: Path, tmp_path: Path) -> None:
    folder = without(fitted, "popular", tmp_path)
    for user in (GONE, "somebody", ""):
        with pytest.raises(UnknownIdError, match="does not know the user"):
            forget(folder, user)
    with pytest.raises(UnknownIdError, match="holds no guide"):
        forget(tmp_path, GONE)


def test_a_guide_is_forgotten_from_whole_or_not_at_all(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(fitted / "foresight", tmp_path / "guide")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def breaks(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(files.os, "replace", breaks)
    with pytest.raises(OSError, match="no space left"):
        forget(folder, GONE)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_what_a_link_leads_to_is_written_anew(fitted: Path, tmp_path: Path) -> None:
    folder, link = shutil.copytree(fitted / "popular", tmp_path / "guide"), tmp_path / "current"
    link.symlink_to("guide")
    assert forget(link, GONE) == ROW
    assert link.is_symlink()
    assert GONE not in open_guide(folder).known.index
    assert sorted(tmp_path.iterdir()) == [link, folder]
    with pytest.raises(UnknownIdError, match="holds no guide"):
        forget(tmp_path / "nowhere" / "guide", GONE)


def test_of_several_who_forget_at_once_nobody_brings_another_back(
    fitted: Path, tmp_path: Path
) -> None:
    folder, gone = shutil.copytree(fitted / "popular", tmp_path / "guide"), OTHERS[:8]
    with ThreadPoolExecutor(len(gone)) as threads:
        list(threads.map(lambda user: forget(folder, user), gone))
    assert set(open_guide(folder).known.index) == {*OTHERS, GONE} - set(gone)
    assert list(tmp_path.iterdir()) == [folder]
