"""Interest vectors of simulated users that no policy was fitted to.

A policy that stands on the simulator's own kind of vectors may only be good at guessing them. Here
are others, made from the train part without any training: what is near what, and who likes what,
differs from GraphAU's, and a claim that holds under them does not hang on it.
"""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.rng import generator, torch_generator
from proactrec.simulator.boredom import carried_categories
from proactrec.threads import one_thread

Hidden = Literal["interest", "factors", "neighbours", "content", "divided"]
"""The run's own interest vectors, or others; see :func:`hidden_vectors`."""
HIDDEN: tuple[Hidden, ...] = get_args(Hidden)
DIM, OWN_DIM, OWN_SHARE = 64, 24, 0.5

Vectors = tuple[Tensor, Tensor]


@one_thread()
def hidden_vectors(kind: str, dataset: Dataset) -> Vectors:
    """Users (n_users, d) and items (n_items + 1, d) of a kind, unit rows; padding is zero.

    Every user stands at the mean of the train items' vectors.

    - ``factors``: the leading right singular vectors of the users × items matrix whose columns are
      divided by the root of the item's popularity, times the root of their singular values.
    - ``neighbours``: the same of the cosine similarity of items by the users they share, without
      the diagonal: items are alike if they are liked together with the same others.
    - ``content``: categories (centred), and beside them for half as much a random direction of each
      item's own, as categories alone make many items the same.
    - ``divided``: items as in all of these side by side (``content`` where there are categories),
      and every user, by lot, stands in one of them only: no one kind is right about everybody.

    Raises
    ------
    InvalidInputError
        If the kind does not exist, or ``content`` is wanted of items without categories.
    """
    makers: dict[str, Callable[[Dataset, Tensor], Tensor]] = {
        "factors": _factors,
        "neighbours": _neighbours,
        "content": _content,
    }
    if kind == "divided":
        known = [k for k in makers if k != "content" or dataset.items.category_names]
        return _divided(dataset, known)
    if kind not in makers:
        raise InvalidInputError(f"hidden must be one of {', '.join(HIDDEN)}, got {kind!r}")
    train = dataset.before("train")
    touched = torch.zeros(dataset.n_users, dataset.n_items + 1)
    touched[torch.from_numpy(train.user_idx), torch.from_numpy(train.item_idx)] = 1
    items = F.normalize(makers[kind](dataset, touched), dim=1)
    items[0] = 0
    return F.normalize(touched @ items, dim=1), items


def _factors(dataset: Dataset, touched: Tensor) -> Tensor:
    return _leading(touched / touched.sum(0).clamp(min=1).sqrt(), seed=0)


def _neighbours(dataset: Dataset, touched: Tensor) -> Tensor:
    unit = touched / touched.norm(dim=0).clamp(min=1)
    alike = unit.T @ unit
    return _leading(alike.fill_diagonal_(0), seed=1)


def _content(dataset: Dataset, touched: Tensor) -> Tensor:
    if not dataset.items.category_names:
        raise InvalidInputError(f"hidden content needs categories, {dataset.name} has none")
    has = carried_categories(dataset, ancestors=True)
    shared = F.normalize(has - has[1:].mean(0), dim=1)
    own = torch.randn(len(has), OWN_DIM, generator=torch_generator(0, "hidden content"))
    return torch.cat([shared, OWN_SHARE * F.normalize(own, dim=1)], 1)


def _divided(dataset: Dataset, kinds: list[str]) -> Vectors:
    users, items = zip(*(hidden_vectors(kind, dataset) for kind in kinds), strict=True)
    lot = generator(0, "divided users").integers(len(kinds), size=dataset.n_users)
    goes_by = F.one_hot(torch.from_numpy(lot), len(kinds)).unbind(1)  # (n_users,) each
    standing = [part * own[:, None] for part, own in zip(users, goes_by, strict=True)]
    return torch.cat(standing, 1), F.normalize(torch.cat(items, 1), dim=1)


def _leading(matrix: Tensor, *, seed: int) -> Tensor:
    """Columns of a matrix in its leading directions, by the roots of their strengths."""
    dim = min(DIM, *matrix.shape)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)  # svd_lowrank takes no generator
        _, strength, directions = torch.svd_lowrank(matrix, q=dim, niter=6)
    return directions * strength.sqrt()
