"""A guide's folder: it decides the same, it opens beside later data, and damage is said."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from proactrec.data.catalogue import Catalogue
from proactrec.errors import ArtefactError, InvalidInputError, ProactrecError, UnknownIdError
from proactrec.guidance import saved
from proactrec.guidance.past import no_journeys
from proactrec.guidance.saved import SavedGuide, open_guide, read_about
from proactrec.guidance.tomorrow import People
from proactrec.policies.foresight import Foresight
from proactrec.worth import Worth

from .fitted import KINDS, N_EACH, N_ITEMS, N_USERS, POLICIES, changed_json, fit, log, played

TARGETS = ("i03", "i10")


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    return shutil.copytree(fitted / "foresight", tmp_path / "guide")


@pytest.mark.parametrize("policy", POLICIES)
def test_a_saved_and_loaded_guide_decides_the_same(policy: str, fitted: Path) -> None:
    before, after = fit(fitted, policy), open_guide(fitted / policy)
    tables = [played(People.of(guide, log().events), TARGETS)[0] for guide in (before, after)]
    assert tables[0][2].height == N_USERS * len(TARGETS)
    for one, other in zip(*tables, strict=True):
        assert_frame_equal(one, other, check_exact=True)


def test_the_foresight_of_these_tests_has_three_views(fitted: Path) -> None:
    assert read_about(fitted / "foresight")["policy_options"]["other_views"] == [
        "companions",
        "categories",
    ]


def test_what_was_learned_is_saved(foresight: SavedGuide, tmp_path: Path) -> None:
    knowledge = foresight.guide.knowledge
    more = knowledge._replace(**{
        name: value + 0.25 for name, value in knowledge._asdict().items() if torch.is_tensor(value)
    })  # fmt: skip
    foresight.learned(more).save(tmp_path / "guide")
    opened = open_guide(tmp_path / "guide")
    assert opened.knowledge_version == 1
    for name, value in more._asdict().items():
        if torch.is_tensor(value):
            assert torch.equal(getattr(opened.guide.knowledge, name), value)


def test_a_part_of_worth_is_set_alone_and_saved(fitted: Path, tmp_path: Path) -> None:
    plain = Worth(target=2)
    options = POLICIES["foresight"][1] | {"worth": {"target": 2}}
    fit(fitted, "foresight", policy_options=options).save(tmp_path / "guide")
    policy = open_guide(tmp_path / "guide").guide.policy
    assert isinstance(policy, Foresight)
    assert policy.options.worth == plain
    assert read_about(tmp_path / "guide")["policy_options"]["worth"] == plain.model_dump()


def later_items(n: int) -> pl.DataFrame:
    rows = [(f"new {k}", f"Film {k} again", [KINDS[k % 3]]) for k in range(n)]
    return pl.DataFrame(rows, ["item_id", "title", "categories"], orient="row")


@pytest.mark.parametrize(
    "policy", ["foresight", "itmprec", "irn, replan", "prorl, replan", "nearest", "random"]
)
@settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_tenth_more_data_changes_nothing_for_who_did_nothing(
    policy: str, seed: int, fitted: Path
) -> None:
    rng, whole, more = np.random.default_rng(seed), log(), later_items(N_ITEMS // 10)
    ids = [*whole.items["item_id"], *more["item_id"]]
    active = [*rng.choice(sorted(set(whole.events["user_id"])), 4), "a new one", "another"]
    rows = [
        (user, ids[rng.integers(len(ids))], N_EACH + int(rng.integers(5)))
        for user in rng.choice(active, N_USERS * N_EACH // 10)
    ]
    since = pl.DataFrame(rows, whole.events.schema, orient="row")
    guide = open_guide(fitted / policy, Catalogue(more))
    assert len(guide.guide.items) == N_ITEMS + more.height
    idle = [user for user in guide.known.user_ids if user not in active]
    old = open_guide(fitted / policy)
    shown = []
    for guide_, events in ((old, whole.events), (guide, pl.concat([whole.events, since]))):
        people = People.of(guide_, events, idle)
        journeys = people.journeys(no_journeys(), TARGETS, 6)
        new = torch.arange(N_ITEMS + 1, len(guide_.guide.items) + 1)
        ruled = guide_.guide.decide(journeys, without=new.expand(len(journeys.user), -1))
        shown.append((ruled.item_idx, ruled.score))
    assert torch.equal(shown[0][0], shown[1][0])
    torch.testing.assert_close(shown[0][1], shown[1][1], rtol=1e-5, atol=1e-6)


def test_saving_is_whole_or_not_at_all(
    foresight: SavedGuide, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}

    def breaks(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(saved, "write_json", breaks)
    for folder in (copied, copied.with_name("new")):
        with pytest.raises(OSError, match="no space left"):
            foresight.save(folder)
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before
    assert list(copied.parent.iterdir()) == [copied]


def test_an_earlier_guide_is_replaced_whole(fitted: Path, copied: Path) -> None:
    open_guide(fitted / "popular").save(copied)
    assert read_about(copied)["policy"] == "popular"
    assert not (copied / "models").exists()
    assert list(copied.parent.iterdir()) == [copied]


def test_what_is_no_guide_is_not_replaced(foresight: SavedGuide, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for place in (tmp_path, tmp_path / "letter.txt"):
        with pytest.raises(InvalidInputError, match="is not empty, and no guide"):
            foresight.save(place)


def test_a_guide_with_later_items_is_not_saved(fitted: Path, tmp_path: Path) -> None:
    guide = open_guide(fitted / "popular", Catalogue(later_items(2)))
    with pytest.raises(InvalidInputError, match="opened with later items can't be saved"):
        guide.save(tmp_path / "guide")
    assert not (tmp_path / "guide").exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE: dict[str, tuple[Callable[[Path], object], type[ProactrecError], str]] = {
    "no guide": (lambda f: (f / "guide.json").unlink(), UnknownIdError, "holds no guide"),
    "guide.json": (lambda f: cut(f / "guide.json"), ArtefactError, "guide.json can't be read"),
    "list": (
        lambda f: (f / "guide.json").write_text("[]"),
        ArtefactError,
        "guide.json can't be read",
    ),
    "format": (
        lambda f: changed_json(f / "guide.json", format_version=99),
        ArtefactError,
        "has the format 99, this proactrec reads 1",
    ),
    "policy version": (
        lambda f: changed_json(f / "guide.json", policy_version=99),
        ArtefactError,
        "the policy foresight is not the one of guide",
    ),
    "options": (
        lambda f: changed_json(f / "guide.json", policy_options={"speed": 1}),
        ArtefactError,
        "speed",
    ),
    **{
        f"{name} {how.__name__}": (lambda f, n=name, h=how: h(f / n), ArtefactError, "guide")
        for name in (
            "items.parquet",
            "users.parquet",
            "knowledge.safetensors",
            "encoder/encoder.json",
            "encoder/encoder.safetensors",
        )
        for how in (cut, Path.unlink)
    },
    "models": (lambda f: shutil.rmtree(f / "models"), ArtefactError, "models/views is missing"),
    "views": (
        lambda f: [cut(path) for path in (f / "models" / "views").glob("*.safetensors")],
        ArtefactError,
        "can't be opened",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_said_in_one_sentence(what: str, copied: Path) -> None:
    damage, kind, sentence = DAMAGE[what]
    damage(copied)
    with pytest.raises(kind, match=re.escape(sentence)) as raised:
        open_guide(copied)
    assert str(copied) in str(raised.value)
    assert "\n" not in str(raised.value)
