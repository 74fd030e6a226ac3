"""Random numbers: decided by what they are for, by nothing else."""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proactrec.errors import InvalidInputError
from proactrec.rng import generator, keys_of, mixed, torch_generator, uniform_at, uniforms

SMALL = st.integers(0, 2**31)


def one(seed: int, user: int, item: int, round_: int) -> float:
    return float(uniforms(seed, np.array([user]), np.array([item]), round_ + 1)[0, round_])


def test_same_key_gives_the_same_number() -> None:
    assert one(3, 5, 7, 2) == one(3, 5, 7, 2)


@pytest.mark.parametrize(
    "key", [(4, 5, 7, 2), (3, 6, 7, 2), (3, 5, 8, 2), (3, 5, 7, 3), (3, 7, 5, 2)]
)
def test_any_other_seed_user_item_or_round_gives_another_number(key: tuple[int, ...]) -> None:
    assert one(*key) != one(3, 5, 7, 2)


@settings(deadline=None, max_examples=50)
@given(SMALL, st.lists(st.tuples(SMALL, SMALL), min_size=1, max_size=6), st.integers(1, 5))
def test_a_pair_has_its_luck_whoever_stands_beside_it(
    seed: int, pairs: list[tuple[int, int]], n_rounds: int
) -> None:
    users, items = np.array(pairs).T
    together = uniforms(seed, users, items, n_rounds)
    backwards = uniforms(seed, users[::-1], items[::-1], n_rounds)[::-1]
    longer = uniforms(seed, users, items, n_rounds + 3)[:, :n_rounds]
    assert ((together >= 0) & (together < 1)).all()
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together, longer)
    for row, (user, item) in enumerate(pairs):
        assert together[row, -1] == one(seed, user, item, n_rounds - 1)


def test_numbers_are_uniform_and_neighbours_unrelated() -> None:
    users, items = (x.ravel() for x in np.meshgrid(np.arange(100), np.arange(1, 51)))
    drawn = uniforms(0, users, items, 20)  # 100,000 numbers of neighbouring keys
    n = drawn.size
    # Uniform: mean 1/2, variance 1/12; its fourth central moment is 1/80.
    assert abs(drawn.mean() - 1 / 2) < 4 * math.sqrt(1 / 12 / n)
    assert abs(drawn.var() - 1 / 12) < 4 * math.sqrt((1 / 80 - 1 / 144) / n)
    counts = np.bincount((drawn * 10).astype(int).ravel(), minlength=10)
    chi_square = ((counts - n / 10) ** 2 / (n / 10)).sum()
    assert chi_square < 9 + 4 * math.sqrt(18)  # 9 degrees of freedom
    grid = drawn.reshape(50, 100, 20) - 1 / 2
    for one_on in (
        grid[1:] * grid[:-1],
        grid[:, 1:] * grid[:, :-1],
        grid[..., 1:] * grid[..., :-1],
    ):
        assert abs(one_on.mean()) < 4 * (1 / 12) / math.sqrt(one_on.size)


@settings(deadline=None, max_examples=50)
@given(SMALL, st.text("ab-", min_size=1, max_size=4))
def test_generators_repeat_for_one_purpose(seed: int, purpose: str) -> None:
    assert generator(seed, purpose).random() == generator(seed, purpose).random()
    first, again = (torch.rand(3, generator=torch_generator(seed, purpose)) for _ in range(2))
    assert torch.equal(first, again)


def test_generators_of_other_purposes_or_seeds_differ() -> None:
    made = [generator(0, "a"), generator(1, "a"), generator(0, "b"), generator(0, "a", 1)]
    assert len({g.random() for g in made}) == 4
    seeds = [(0, "a"), (1, "a"), (0, "b"), (0, "a", 1), (0, "a", 2)]
    assert len({torch_generator(seed, *purpose).initial_seed() for seed, *purpose in seeds}) == 5


def test_generators_leave_the_global_streams_alone() -> None:
    before = torch.random.get_rng_state()
    torch_generator(0, "a")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_purpose_and_the_same_with_a_zero_have_streams_of_their_own() -> None:
    assert generator(0, "x").random() != generator(0, "x", 0).random()


def test_slots_of_a_slate_have_numbers_of_their_own() -> None:
    users, items = np.arange(50), np.arange(50)
    slots = [uniforms(3, users, items, 40, slot=slot) for slot in range(3)]
    np.testing.assert_array_equal(slots[0], uniforms(3, users, items, 40))
    assert len(np.unique(slots)) == 3 * 50 * 40
    for one_, other in ((0, 1), (1, 2)):
        r = np.corrcoef(slots[one_].ravel(), slots[other].ravel())[0, 1]
        assert abs(r) < 4 / math.sqrt(2000)


def test_pairs_may_have_seeds_of_their_own() -> None:
    users, items = np.array([4, 4, 9]), np.array([1, 1, 2])
    found = uniforms(np.array([7, 8, 7]), users, items, 5)
    for row, seed in enumerate((7, 8, 7)):
        alone = uniforms(seed, users[row : row + 1], items[row : row + 1], 5)
        np.testing.assert_array_equal(found[row], alone[0])


@settings(deadline=None, max_examples=50)
@given(SMALL, st.lists(st.tuples(SMALL, SMALL, st.integers(0, 40)), min_size=1, max_size=6))
def test_one_number_of_every_row_is_that_of_the_table(
    seed: int, drawn: list[tuple[int, int, int]]
) -> None:
    users, items, numbers = np.array(drawn).T
    found = uniform_at(seed, users, items, numbers)
    table = uniforms(seed, users, items, 41)
    np.testing.assert_array_equal(found, table[np.arange(len(drawn)), numbers])
    seeds = np.full(len(drawn), seed)
    np.testing.assert_array_equal(uniform_at(seeds, users, items, numbers), found)


def test_keys_are_the_same_on_every_machine_and_63_bits_long() -> None:
    keys = keys_of(["u0", "u1", "", "Ünïcode"])
    first = hashlib.blake2b(b"u0", digest_size=8).digest()
    assert keys[0] == int.from_bytes(first, "little") >> 1
    assert keys.dtype == np.int64
    assert len(np.unique(keys)) == 4
    many = keys_of(str(number) for number in range(20_000))
    assert len(np.unique(many)) == 20_000
    assert (many >= 0).all()
    assert abs(many.mean() / 2**62 - 1) < 4 / math.sqrt(3 * 20_000)  # uniform on [0, 2⁶³)


def test_a_key_belongs_to_the_id_alone() -> None:
    assert keys_of(["b", "a"]).tolist() == keys_of(["a", "b"])[::-1].tolist()
    assert keys_of([]).shape == (0,)


def test_mixed_bits_of_neighbours_are_unrelated_and_never_the_same() -> None:
    bits = mixed(np.arange(20_000))
    assert bits.dtype == np.uint64
    assert len(np.unique(bits)) == 20_000
    flipped = np.bitwise_count(bits[1:] ^ bits[:-1])  # 32 of 64 bits, ± 4
    assert abs(flipped.mean() - 32) < 4 * 4 / math.sqrt(20_000)
    np.testing.assert_array_equal(mixed(np.array([7, 3])), bits[[7, 3]])


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, 2**63])
@pytest.mark.parametrize("made", [generator, torch_generator])
def test_a_seed_is_a_whole_number_from_0_on(made: Callable[..., Any], seed: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"^seed must be (a whole number of )?at "):
        made(seed, "x")
    made(np.int64(2**63 - 1), "x")
