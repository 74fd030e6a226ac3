"""Intents: k-means prototypes and the nearest of them."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from proactrec.errors import ArtefactError, InvalidInputError
from proactrec.intents import Intents, cluster, fit_intents

CENTRES = torch.tensor([[10.0, 0, 0], [0, 10, 0], [0, 0, 10], [-10, 0, 0]])


@pytest.fixture
def clouds() -> torch.Tensor:
    """Four tight clouds of 25 points around `CENTRES`, one after the other."""
    noise = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    return CENTRES.repeat_interleave(25, 0) + 0.1 * noise


def test_clear_clusters_are_found(clouds: torch.Tensor) -> None:
    found = cluster(clouds, 4, seed=0)
    distance = torch.cdist(CENTRES, found)
    assert distance.argmin(1).unique().tolist() == [0, 1, 2, 3]
    # A centre is the mean of its 25 points.
    means = clouds.view(4, 25, 3).mean(1)
    torch.testing.assert_close(found[distance.argmin(1)], means, atol=1e-4, rtol=0)


def test_prototypes_are_unit_and_every_cloud_has_its_own(clouds: torch.Tensor) -> None:
    intents = fit_intents(clouds, 4, seed=0)
    torch.testing.assert_close(intents.prototypes.norm(dim=1), torch.ones(4))
    assigned = intents.assign(clouds).view(4, 25)
    assert (assigned == assigned[:, :1]).all()
    assert assigned[:, 0].unique().tolist() == [0, 1, 2, 3]


def test_one_seed_gives_one_result(clouds: torch.Tensor) -> None:
    spread = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    first, again, other = (cluster(spread, 8, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_every_seed_that_a_run_may_have_works(clouds: torch.Tensor) -> None:
    """`ExperimentOptions.seed` goes up to 2³² - 1."""
    assert len(cluster(clouds, 4, seed=2**32 - 1)) == 4


def test_assignment_is_by_cosine_not_by_length() -> None:
    intents = Intents(torch.tensor([[100.0, 0], [0, 0.01]]))
    x = torch.tensor([[1.0, 2], [2, 1], [0.001, 0.002], [-1, -5]])
    assert intents.assign(x).tolist() == [1, 0, 1, 0]
    unit = F.normalize(intents.prototypes, dim=1)
    nearest = torch.cdist(F.normalize(x, dim=1), unit).argmin(1)
    assert intents.assign(x).tolist() == nearest.tolist()


def test_random_prototypes_are_small_normal_and_ignore_the_vectors(clouds: torch.Tensor) -> None:
    made = fit_intents(clouds, 500, seed=5, source="random")  # more than there are vectors
    again = fit_intents(-clouds, 500, seed=5, source="random")
    assert torch.equal(made.prototypes, again.prototypes)
    n = made.prototypes.numel()
    assert made.prototypes.std().item() == pytest.approx(0.02, abs=4 * 0.02 / np.sqrt(2 * n))
    assert abs(made.prototypes.mean().item()) < 4 * 0.02 / np.sqrt(n)


@pytest.mark.parametrize("n_intents", [0, 101])
def test_number_of_intents_is_checked(clouds: torch.Tensor, n_intents: int) -> None:
    wanted = f"n_intents must be between 1 and the number of vectors (100), got {n_intents}"
    with pytest.raises(InvalidInputError, match=re.escape(wanted)):
        fit_intents(clouds, n_intents, seed=0)


def test_intents_round_trip(clouds: torch.Tensor, tmp_path: Path) -> None:
    intents = fit_intents(clouds, 4, seed=0)
    intents.save(tmp_path / "intents.safetensors")
    loaded = Intents.load(tmp_path / "intents.safetensors")
    assert torch.equal(loaded.prototypes, intents.prototypes)


def test_missing_or_damaged_file_is_refused(clouds: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "intents.safetensors"
    wanted = re.escape(f"intents {path} can't be read")
    with pytest.raises(ArtefactError, match=wanted):
        Intents.load(path)
    fit_intents(clouds, 4, seed=0).save(path)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ArtefactError, match=wanted):
        Intents.load(path)
