"""What the simulated users of a run share: the authors' luck and noise, and who has what."""

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.simulator.world import World, WorldOptions

Vectors = tuple[torch.Tensor, torch.Tensor]
TARGETS = np.array([4, 11, 7])


def test_official_noise_is_the_authors(dataset: Dataset, vectors: Vectors) -> None:
    """itmprec.md, check 1: percentages of NumPy's RandomState(114514), by order of the targets."""
    many = np.arange(1, 21)
    world = World(dataset, *vectors, many, WorldOptions(noise="per_target"))
    noise = world.noise(many) / 100
    first = [0.0068776, 0.0067617, 0.0042661, 0.0078303, 0.0078837, 0.0003617]
    assert noise[:6].tolist() == pytest.approx(first, abs=5e-8)
    means = [noise[:n].mean().item() for n in (5, 10, 15, 20)]
    assert means == pytest.approx([0.0067239, 0.0059338, 0.0052888, 0.0048102], abs=5e-8)
    turned = World(dataset, *vectors, many[::-1].copy(), WorldOptions(noise="per_target"))
    assert turned.noise(np.array([20, 1])).tolist() == pytest.approx(
        [100 * noise[0].item(), 100 * noise[19].item()]
    )
    assert World(dataset, *vectors, TARGETS).noise(TARGETS) == 0


def test_official_stream_is_the_authors(dataset: Dataset, vectors: Vectors) -> None:
    """itmprec.md, check 4: Bernoulli draws of Torch's generator 114514 for ten users, p = 0.4."""
    ten = vectors[0][:10], vectors[1]
    world = World(dataset, *vectors, TARGETS, WorldOptions(random_numbers="shared_stream"))
    world.user_vectors = ten[0]
    luck = world.luck(np.arange(10), np.full(10, 4), 2)
    drawn = ["".join(str(int(x < 0.4)) for x in luck[:, round_]) for round_ in range(2)]
    assert drawn == ["0000010100", "0110001101"]
    rng = torch.Generator().manual_seed(114514)
    prob = torch.full((10,), 0.4, dtype=torch.float64)
    for round_ in range(2):
        expected = torch.bernoulli(prob, generator=rng)
        assert (luck[:, round_] < 0.4).double().tolist() == expected.tolist()


def test_official_stream_is_the_same_for_every_target(dataset: Dataset, vectors: Vectors) -> None:
    world = World(dataset, *vectors, TARGETS, WorldOptions(random_numbers="shared_stream"))
    users = np.array([5, 2])
    assert torch.equal(
        world.luck(users, np.array([4, 4]), 3), world.luck(users, np.array([7, 11]), 3)
    )
    own = World(dataset, *vectors, TARGETS)
    assert not torch.equal(
        own.luck(users, np.array([4, 4]), 3), own.luck(users, np.array([7, 11]), 3)
    )


@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_extreme_kept_shares_work_per_user_too(
    dataset: Dataset, vectors: Vectors, mean: float
) -> None:
    """WorldOptions allows 0 and 1: everybody follows, or nobody does."""
    world = World(dataset, *vectors, TARGETS, WorldOptions(receptivity="per-user", kept_share=mean))
    assert (world.kept_shares[:5] == mean).all()


def test_owners_are_users_with_the_target_in_their_train_history(
    dataset: Dataset, vectors: Vectors
) -> None:
    users = np.repeat(np.arange(dataset.n_users), len(TARGETS))
    targets = np.tile(TARGETS, dataset.n_users)
    train = dataset.before("train")
    expected = [t in train.of(u) for u, t in zip(users, targets, strict=True)]
    found = World(dataset, *vectors, TARGETS).is_owner(users, targets)
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)
