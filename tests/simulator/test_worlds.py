"""Named worlds: one name, one set of settings, for ever."""

import pytest

from proactrec.config import digest
from proactrec.errors import UnknownIdError
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.simulator.world import WorldOptions
from proactrec.simulator.worlds import WORLDS, named_world

DIGESTS = {
    "flat-v1": "14edd03c9b4cf2a7",
    "medium-v1": "4a3783e201f39329",
    "steep-v1": "1f22ad14b40fc77b",
    "per-user-v1": "96698bb374c3cb96",
    "per-user-v2": "8c9e46a26ca84f1a",
    "susceptibility-v1": "acb35d9d50939c96",
    "arousal-v1": "a22c020000955ac4",
    "factors-v1": "514d2eef89c6ab6f",
    "neighbours-v1": "8b6602121a15e65b",
    "content-v1": "9640236eec73ed9d",
    "divided-v1": "d41f77b5789dbc8e",
    "other-seed-v1": "9e3d0b6aaf8dafb2",
    "half-v1": "3d8eaff856aa15a1",
    "everything-v1": "00e6af4f4d3e9d84",
    "bored-v1": "da4d6e1357b47425",
    "impatient-v1": "1ea38aa192525746",
    "flat-v2": "ad9fc9e2e549b38e",
    "medium-v2": "34f3b4e5843d2c30",
    "steep-v2": "9a01dbe462bc296c",
    "factors-v2": "f41e48acd4a13a1d",
    "neighbours-v2": "1c809f0e677fe440",
    "content-v2": "db450fef4fbba405",
    "divided-v2": "7a82b43cc5f93a0e",
    "leaving-2-v1": "e31dc5fb240b88be",
    "leaving-5-v1": "92a9440051d464eb",
    "leaving-10-v1": "bd944a0b0f71bbef",
    "leaving-refused-v1": "32d35a87ff7fd71f",
    "leaving-users-v1": "399a8ab2763cacd1",
    "slate-v1": "b48e15defd7be4c9",
    "weak-receptivity-v1": "2ace845f8d90040e",
    "strong-receptivity-v1": "a65c81f5156e5233",
    "returning-v1": "e6fca2b5f634be05",
    "reactance-v1": "53c041303984aaec",
    "exposure-v1": "5ca2c224a3e1b4af",
    "diminishing-v1": "fa068b2a6c2493a7",
    "wandering-v1": "9995122c60eb6c18",
    "appeal-v1": "b02f9f0808994006",
    "users-differ-v1": "1428cb0ca316d63c",
    "days-v1": "eb657c492af80c65",
    "lapses-v1": "db5c3f37ca28686f",
}
"""Never changed: whoever wants other users adds another version."""


@pytest.mark.parametrize("name", WORLDS)
def test_settings_of_a_version_never_change(name: str) -> None:
    assert digest(WORLDS[name].changes()) == DIGESTS[name]


def test_no_version_was_taken_away() -> None:
    assert set(WORLDS) == set(DIGESTS)
    assert len(set(DIGESTS.values())) == len(DIGESTS)


def test_options_that_came_later_leave_the_names_of_earlier_runs() -> None:
    assert set(WorldOptions().model_dump()) == {
        "world", "mean_accept", "receptivity", "kept_share", "n_curious", "owners",
        "after_success", "noise", "random_numbers",
    }  # fmt: skip
    assert WorldOptions(patience=3).model_dump()["patience"] == 3
    assert WorldOptions(leaving=0.1).model_dump()["leaving"] == 0.1


@pytest.mark.parametrize("name", WORLDS)
def test_an_experiment_takes_all_of_it(name: str) -> None:
    changed = ExperimentOptions().changed(
        {"protocol.world.owners": "zero", **named_world(name).changes()}
    )
    assert (changed.protocol.world, changed.hidden) == WORLDS[name][1:]


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownIdError, match="named world 'x' does not exist; there are flat-v1,"):
        named_world("x")
