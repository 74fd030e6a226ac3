r"""GraphAU: interest vectors by alignment and uniformity on the interaction graph.

Source: Yang et al. 2023, arXiv:2308.09292. Differences: all train interactions are positives
(the data sets of ITMPRec are implicit), and the best epoch is kept.
"""

import warnings
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from proactrec.config import MOST_DIM, MOST_LAYERS
from proactrec.data.dataset import Dataset, Histories
from proactrec.errors import InvalidInputError
from proactrec.gpu import usable_device
from proactrec.parallel import ALONE, Ranks, ranks
from proactrec.progress import Progress, silent
from proactrec.ranking import (
    answer_places,
    drawn_answers,
    mean_and_deviation,
    ndcg,
    next_item_figures,
)
from proactrec.rng import generator, torch_generator
from proactrec.tables import LargeTableOptions, adam, rows_of
from proactrec.threads import shared
from proactrec.training import StoppingOptions, TrainingRecord, mean_loss, train
from proactrec.types import FloatArray, IntArray

TILE_ROWS = 256
"""Rows of the kernel matrix held at once: a tile stays in the cache."""
PAIR_BLOCK = 100_000
"""Pairs whose cosines are found at once."""


class GraphAUOptions(LargeTableOptions):
    """Settings of GraphAU.

    `n_layers`, `uniformity_weight` and `stop_on` were chosen by held-out ranking on MovieLens-100K
    (docs/results/graphau-ml-100k.md); the rest is what ITMPRec is known to use.
    """

    embedding_dim: int = Field(64, ge=1, le=MOST_DIM, description="length of a vector")
    n_layers: int = Field(
        1, ge=1, le=MOST_LAYERS, description="depth of alignment; 1 = users and their own items"
    )
    decay: float = Field(1.4, gt=0, description="weight of layer l is decay ** (l - 1)")
    uniformity_weight: float = Field(0.5, ge=0, description="gamma of the loss")
    learning_rate: float = Field(0.1, gt=0, le=100, description="of Adam; small values look stuck")
    weight_decay: float = Field(1e-6, ge=0, description="of Adam")
    batch_size: int = Field(2048, ge=2, le=1_000_000, description="edges in a batch")
    stop_on: Literal["loss", "ndcg"] = Field(
        "ndcg", description="validation figure that decides: NDCG@20, or the loss as published"
    )
    stopping: StoppingOptions = StoppingOptions(n_epochs=200, patience=10, min_epochs=10)

    @property
    def moves_every_row(self) -> str:
        """Deeper layers reach all that the graph joins."""
        return "n_layers above 1" if self.n_layers > 1 else ""


class InterestVectors(NamedTuple):
    """Unit vectors of users and items in one space.

    `user_vectors`: shape (n_users, embedding_dim); `item_vectors`: shape
    (n_items + 1, embedding_dim), row 0 (padding) zero.
    """

    user_vectors: Tensor
    item_vectors: Tensor


class _Propagation(torch.autograd.Function):
    """Sparse matrix times dense: the gradient uses the transpose, also kept as CSR."""

    @staticmethod
    def forward(ctx, matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.transposed = transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[None, None, Tensor]:  # type: ignore[no-untyped-def]
        return None, None, ctx.transposed @ grad


def _propagate(matrix: Tensor, transposed: Tensor, dense: Tensor) -> Tensor:
    product: Tensor = _Propagation.apply(matrix, transposed, dense)  # type: ignore[no-untyped-call]
    return product


class Graph(NamedTuple):
    r"""Normalised interaction matrix :math:`D_u^{-1/2} A D_i^{-1/2}`, both ways, as CSR."""

    user_item: Tensor  # (n_users, n_items + 1)
    item_user: Tensor  # (n_items + 1, n_users)

    @classmethod
    def of(cls, user_idx: IntArray, item_idx: IntArray, n_users: int, n_rows: int) -> "Graph":
        """Graph of edges (user, item); degrees are at least 1."""
        user_degree = np.bincount(user_idx, minlength=n_users).clip(1)
        item_degree = np.bincount(item_idx, minlength=n_rows).clip(1)
        weight = 1 / np.sqrt(user_degree[user_idx] * item_degree[item_idx])
        edges = torch.from_numpy(np.stack([user_idx, item_idx]))
        coo = torch.sparse_coo_tensor(
            edges, torch.from_numpy(weight).float(), (n_users, n_rows), check_invariants=False
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
            return cls(coo.coalesce().to_sparse_csr(), coo.t().coalesce().to_sparse_csr())

    def to(self, device: torch.device) -> "Graph":
        """The graph on another device."""
        return Graph(self.user_item.to(device), self.item_user.to(device))

    def layers(self, users: Tensor, items: Tensor, n_layers: int) -> list[tuple[Tensor, Tensor]]:
        """User and item vectors after 0, 1, …, `n_layers - 1` steps (no averaging over layers)."""
        steps = [(users, items)]
        for _ in range(n_layers - 1):
            users, items = steps[-1]
            steps.append(
                (
                    _propagate(self.user_item, self.item_user, items),
                    _propagate(self.item_user, self.user_item, users),
                )
            )
        return steps


def alignment(x: Tensor, y: Tensor) -> Tensor:
    r"""Mean squared distance of matching rows at unit length; x, y: (n, d)."""
    return (F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1).mean()


class _LogMeanKernel(torch.autograd.Function):
    """Value of :func:`uniformity` for unit rows; finds the gradient on the way, tile by tile.

    The kernel matrix is symmetric, so one pass over its tiles gives both, and nothing of size
    (n, n) is kept: three times as fast as autograd, which is bound by memory here.
    """

    @staticmethod
    def forward(ctx, unit: Tensor, together: Ranks) -> Tensor:  # type: ignore[no-untyped-def]
        n = len(unit)
        own = together.rows(n)
        gradient = torch.zeros_like(unit)

        def tile(start: int) -> Tensor:
            rows = slice(start, min(start + TILE_ROWS, own.stop))
            kernel = torch.mm(4 * unit[rows], unit.T).exp_()  # e⁴ times the kernel
            kernel.diagonal(start).zero_()  # no row is a pair with itself
            torch.mm(kernel, unit, out=gradient[rows])
            return kernel.sum()

        parts = shared(tile, range(own.start, own.stop, TILE_ROWS))
        total = together.total(sum(parts, unit.new_zeros(())))
        ctx.save_for_backward(gradient * (8 / total))
        value: Tensor = (torch.log(total / (n * (n - 1))) - 4) * ((own.stop - own.start) / n)
        return value

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[no-untyped-def]
        (gradient,) = ctx.saved_tensors
        return grad * gradient, None


def uniformity(x: Tensor, together: Ranks = ALONE) -> Tensor:
    r"""Log-mean over pairs of rows of :math:`\exp(-2 \|n(x_a) - n(x_b)\|^2)`; x: (n, d).

    Computed from inner products, since :math:`\|a - b\|^2 = 2 - 2 a^\top b` for unit vectors. Of
    several ranks each gives its part, and the gradient of its rows.
    """
    unit = F.normalize(x, dim=1)
    value: Tensor = _LogMeanKernel.apply(unit, together)  # type: ignore[no-untyped-call]
    return value


class GraphAU(nn.Module):
    """The two tables and their loss; one layer needs no graph."""

    def __init__(
        self, n_users: int, n_items: int, graph: Graph | None, options: GraphAUOptions, seed: int
    ) -> None:
        super().__init__()
        rng = torch_generator(seed, "graphau-start")
        dim = options.embedding_dim
        self.users = nn.Parameter(torch.randn(n_users, dim, generator=rng))
        self.items = nn.Parameter(torch.randn(n_items + 1, dim, generator=rng))
        self.graph, self.options = graph, options
        self.touched = options.touches_rows(max(n_users, n_items + 1))

    def loss(self, user_idx: Tensor, item_idx: Tensor, together: Ranks = ALONE) -> Tensor:
        r"""Loss of a batch of edges: decayed mean of the layers' alignments plus uniformity.

        :math:`\frac{1}{L} \sum_l \delta^{l-1} A_l + \gamma U`, with :math:`A_1` between the raw
        vectors and :math:`A_l` between raw vectors and the other side's (l - 1)-hop vectors. Of
        several ranks each gives its part.
        """
        options = self.options
        users = rows_of(self.users, user_idx, touched=self.touched)
        items = rows_of(self.items, item_idx, touched=self.touched)

        def aligned(*rows: Tensor) -> Tensor:
            return together.part(rows, lambda own: len(own[0]), lambda own: alignment(*own))

        total = aligned(users, items)
        for layer, (far_users, far_items) in enumerate(self._far_vectors(), start=1):
            both = aligned(users, far_items[item_idx]) + aligned(far_users[user_idx], items)
            total = total + options.decay**layer * both / 2
        spread = (uniformity(users, together) + uniformity(items, together)) / 2
        return total / options.n_layers + options.uniformity_weight * spread

    def _far_vectors(self) -> list[tuple[Tensor, Tensor]]:
        """User and item vectors after 1, …, `n_layers - 1` steps of the graph."""
        if self.graph is None:
            return []
        return self.graph.layers(self.users, self.items, self.options.n_layers)[1:]

    def vectors(self) -> InterestVectors:
        """The tables, rows of unit length."""
        items = F.normalize(self.items.detach(), dim=1)
        items[0] = 0
        return InterestVectors(F.normalize(self.users.detach(), dim=1), items)


def fit_graphau(
    dataset: Dataset,
    options: GraphAUOptions | None = None,
    *,
    known: Histories | None = None,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress = silent,
) -> tuple[InterestVectors, TrainingRecord]:
    """Fit interest vectors on the train interactions of a data set.

    Parameters
    ----------
    known : Histories, optional
        Interactions to fit on instead, e.g. all.
    seed : int
        Decides start and order; one seed, one result on one device.
    checkpoint : Path, optional
        See :func:`proactrec.training.train`.

    Returns
    -------
    vectors : InterestVectors
        On the CPU.
    record : TrainingRecord
        Loss and validation score (minus the validation loss, or NDCG@20) per epoch.
    """
    options = options or GraphAUOptions()
    known = known or dataset.before("train")
    if len(known.item_idx) < 2:
        raise InvalidInputError(
            f"GraphAU needs at least 2 train interactions, got {len(known.item_idx)}"
        )
    n_users, n_rows = dataset.n_users, dataset.n_items + 1
    target = torch.device(usable_device(device))
    users, items = (torch.from_numpy(x).to(target) for x in (known.user_idx, known.item_idx))
    graph = None
    if options.n_layers > 1:
        graph = Graph.of(known.user_idx, known.item_idx, n_users, n_rows).to(target)
    model = GraphAU(n_users, dataset.n_items, graph, options, seed).to(target)
    optimizer = adam(
        model.parameters(),
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        touched=model.touched,
    )
    answers, score_of = _validated(dataset, options, seed)
    seen, held_out = dataset.before("validation"), np.flatnonzero(answers)

    def run_epoch(rng: torch.Generator) -> float:
        order = torch.randperm(len(users), generator=rng).to(target)
        # A last batch of one edge has no pair to be uniform over.
        batches = (edges for edges in order.split(options.batch_size) if len(edges) > 1)
        together = ranks()
        losses = (model.loss(users[edges], items[edges], together) for edges in batches)
        return mean_loss(optimizer, losses)

    def validate() -> float:
        if options.stop_on == "ndcg":
            return ndcg(_places(model.vectors(), answers, seen), 20)
        user, item = (torch.from_numpy(x).to(target) for x in (held_out, answers[held_out]))
        return -float(model.loss(user, item))

    record = train(
        model,
        optimizer,
        run_epoch=run_epoch,
        validate=validate,
        stopping=options.stopping,
        seed=seed,
        stage="GraphAU",
        score_of=score_of,
        checkpoint=checkpoint,
        progress=progress,
    )
    return InterestVectors(*(table.cpu() for table in model.vectors())), record


def _validated(dataset: Dataset, options: GraphAUOptions, seed: int) -> tuple[IntArray, str]:
    """Validation answers (n_users,) of those who are ranked, and a note of how many they are."""
    answers = dataset.answers("validation")
    n_held_out = np.count_nonzero(answers)
    if n_held_out < 2:
        raise InvalidInputError(
            f"GraphAU needs 2 users with 3 or more items to validate on, got {n_held_out}"
        )
    return drawn_answers(answers, dataset.n_items + 1, options.n_validated, seed=seed)


def spread(
    dataset: Dataset, vectors: InterestVectors, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Mean and deviation of the user-item cosine over random, train and held-out pairs.

    The level of every interest figure depends on it, so it is reported with every run. `cosine`
    holds mean and deviation over `random`, `train` and `held_out` pairs (the validation answers),
    `validation` the HR@k and NDCG@k of those answers, ranked by cosine; of some users, drawn by
    `seed`, where all take more than `ranking.MOST_SCORES`.
    """
    rng = generator(seed, "spread")
    known, answers = dataset.before("train"), dataset.answers("validation")
    held_out = np.flatnonzero(answers)
    n_random = 100_000
    pairs = {
        "random": (
            rng.integers(0, dataset.n_users, n_random),
            rng.integers(1, dataset.n_items + 1, n_random),
        ),
        "train": (known.user_idx, known.item_idx),
        "held_out": (held_out, answers[held_out]),
    }
    figures = {
        name: mean_and_deviation(_cosines(vectors, *places)) for name, places in pairs.items()
    }
    ranked, _ = drawn_answers(answers, dataset.n_items + 1, None, seed=seed)
    ranking = next_item_figures(_places(vectors, ranked, dataset.before("validation")))
    return {"cosine": figures, "validation": ranking}


def _cosines(vectors: InterestVectors, user_idx: IntArray, item_idx: IntArray) -> FloatArray:
    """Cosines (n,) of pairs of users and items (n,), in float64."""
    users, items = (x.numpy() for x in vectors)
    found = np.empty(len(user_idx))
    for start in range(0, len(found), PAIR_BLOCK):
        block = slice(start, start + PAIR_BLOCK)
        pairs = users[user_idx[block]].astype(np.float64) * items[item_idx[block]]
        found[block] = pairs.sum(1)
    return found


def _places(vectors: InterestVectors, answers: IntArray, seen: Histories) -> IntArray:
    """Places of the answers by cosine, among all items that a user has not seen."""
    users, items = vectors
    return answer_places(
        lambda rows: users[torch.from_numpy(rows).to(users.device)] @ items.T,
        answers,
        seen,
        len(items),
    )
