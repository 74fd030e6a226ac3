"""Interest vectors of simulated users by GraphAU, but on other data than the policies'."""

from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset, Histories
from proactrec.graphau import GraphAUOptions, InterestVectors, fit_graphau
from proactrec.progress import Progress, silent
from proactrec.rng import generator
from proactrec.types import IntArray

Fitted = Literal["other-seed", "half", "everything"]
FITTED: tuple[str, ...] = get_args(Fitted)


def fit_hidden(
    kind: Fitted,
    dataset: Dataset,
    options: GraphAUOptions,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> InterestVectors:
    """Interest vectors of a kind, for all users and items.

    - ``other-seed``: fitted on the same interactions, from another seed.
    - ``half``: fitted on the train interactions of a random half of the users. Everybody else
      stands at the mean of the train items that the half knows, an item that only they know at
      the mean of its users.
    - ``everything``: fitted on all interactions, those held out for validation and test included;
      training stops when the validation answers, which it knows, are ranked no better.

    Parameters
    ----------
    seed : int
        Of the run: `half` and `everything` begin with it, `other-seed` with one drawn from it.
    """
    known, fitted_on = dataset.before("train"), dataset
    half = np.arange(dataset.n_users)
    if kind == "half":
        rng = generator(seed, "hidden half")
        half = np.sort(rng.choice(half, (dataset.n_users + 1) // 2, replace=False))
        fitted_on = _only(dataset, half)
    if kind == "other-seed":
        seed = int(generator(seed, "hidden other-seed").integers(2**31))
    vectors, _ = fit_graphau(
        fitted_on,
        options,
        known=dataset.histories if kind == "everything" else None,
        seed=seed,
        device=device,
        checkpoint=checkpoint,
        progress=progress,
    )
    return _completed(vectors, half, known) if kind == "half" else vectors


def _only(dataset: Dataset, users: IntArray) -> Dataset:
    """The data set with these users only, and all items."""
    of_user = dataset.histories.user_idx
    _, item_idx = dataset.histories.rows(users)
    lengths = dataset.histories.lengths[users]
    return replace(
        dataset,
        user_ids=tuple(dataset.user_ids[user] for user in users),
        histories=Histories(np.concatenate([[0], np.cumsum(lengths)]), item_idx),
        timestamps=dataset.timestamps[np.isin(of_user, users)],
    )


def _completed(vectors: InterestVectors, users: IntArray, known: Histories) -> InterestVectors:
    """Vectors of everybody, from those of some users and of the items that these know."""
    items = vectors.item_vectors.clone()
    touched = torch.zeros(len(known.lengths), len(items))
    touched[torch.from_numpy(known.user_idx), torch.from_numpy(known.item_idx)] = 1
    is_known = touched[users].any(0)
    everybody = _means(touched[:, is_known], items[is_known])
    everybody[users] = vectors.user_vectors
    is_new = touched.any(0) & ~is_known
    items[is_new] = _means(touched[:, is_new].T, everybody)
    return InterestVectors(everybody, items)


def _means(weights: Tensor, vectors: Tensor) -> Tensor:
    """Unit means by rows of weights; where there are none, the mean of all."""
    empty = weights.sum(1, keepdim=True) == 0
    return F.normalize(torch.where(empty, 1.0, weights) @ vectors, dim=1)
