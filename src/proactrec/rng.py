"""Random numbers that depend on what they are for, never on order, block size or policy."""

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from proactrec.config import check_whole
from proactrec.types import FloatArray, IntArray

if TYPE_CHECKING:
    import torch

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def generator(seed: int, *purpose: int | str) -> np.random.Generator:
    """NumPy generator of one purpose, e.g. ``generator(seed, "demo-world")``."""
    return np.random.default_rng(_entropy(seed, purpose))


def torch_generator(seed: int, *purpose: int | str) -> "torch.Generator":
    """Torch CPU generator of one purpose, from the same place as :func:`generator`."""
    import torch  # here, because the data commands need no torch and it takes seconds to load

    state = np.random.SeedSequence(_entropy(seed, purpose)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


def uniforms(
    seed: int | IntArray, user_idx: IntArray, item_idx: IntArray, n_rounds: int, *, slot: int = 0
) -> FloatArray:
    """Uniform numbers in [0, 1), one per (seed, user, item, round): common random numbers.

    A counter-based generator (SplitMix64's finaliser over the mixed key), so that a pair has the
    same luck whatever else is simulated with it and whichever policy plays.

    Parameters
    ----------
    seed : int, or int array of shape (n_pairs,)
    user_idx, item_idx : int arrays, shape (n_pairs,)
    n_rounds : int
    slot : int
        Place in a slate, from 0; every slot has numbers of its own.

    Returns
    -------
    float array, shape (n_pairs, n_rounds)
    """
    rounds = np.arange(n_rounds, dtype=np.uint64) + np.uint64(slot << 32)
    bits = _mix(_pair_key(seed, user_idx, item_idx)[:, None] + _mix(rounds + _GOLDEN)[None, :])
    return _in_unit_interval(bits)


def uniform_at(
    seed: int | IntArray, user_idx: IntArray, item_idx: IntArray, number: IntArray
) -> FloatArray:
    """Column `number` (n_pairs,), from 0, of each row of :func:`uniforms`: (n_pairs,)."""
    key = _pair_key(seed, user_idx, item_idx)
    return _in_unit_interval(_mix(key + _mix(number.astype(np.uint64) + _GOLDEN)))


def keys_of(ids: Iterable[str]) -> IntArray:
    """A number of 63 bits for every id, by which guidance draws: the same in every data set."""
    hashes = b"".join(hashlib.blake2b(one.encode(), digest_size=8).digest() for one in ids)
    return (np.frombuffer(hashes, np.uint64) >> np.uint64(1)).astype(np.int64)


def mixed(keys: IntArray) -> NDArray[np.uint64]:
    """Well-stirred bits of numbers, for hashes of sets: sums of these."""
    return _mix(keys.astype(np.uint64))


def _pair_key(seed: int | IntArray, user_idx: IntArray, item_idx: IntArray) -> NDArray[np.uint64]:
    key = _mix(np.atleast_1d(np.asarray(seed, np.uint64)))
    for part in (user_idx, item_idx):
        key = _mix(key ^ _mix(part.astype(np.uint64) + _GOLDEN))
    return key


def _in_unit_interval(bits: NDArray[np.uint64]) -> FloatArray:
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        x = x + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _entropy(seed: int, purpose: tuple[int | str, ...]) -> list[int]:
    check_whole("seed", seed, at_least=0)
    # The count keeps ("x",) and ("x", 0) apart: a seed sequence ignores trailing zeros.
    return [
        seed,
        len(purpose),
        *(int.from_bytes(p.encode()) if isinstance(p, str) else p for p in purpose),
    ]
