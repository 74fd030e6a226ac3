r"""Views: several ways in which users and items may be near each other, side by side.

Which one users go by is not known beforehand: what they touch next, what they touched together, or
what the catalogue calls it. A planner that holds several can learn it from their answers. Weighted
by shares :math:`w_k` that sum to 1, the views are one:

.. math::
    m^\top e_i = \sum_k w_k\, m_k^\top e_{ki}, \qquad
    m = [\sqrt{w_1}\, m_1, \sqrt{w_2}\, m_2, \dots]
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from proactrec.content import ContentOptions, content_vectors, left_singular
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.graphau import GraphAUOptions, InterestVectors, fit_graphau
from proactrec.policies.ingredients import Ingredients, Training
from proactrec.policies.together import information
from proactrec.rng import generator, torch_generator

N_SPREAD_PAIRS = 100_000
VIEWS = "views.safetensors"
LEAST_SPREAD = 1e-3
"""Deviation of interest below which a view tells nothing."""
READ_AT_ONCE = 1_000_000
"""Interactions whose item vectors are held at once."""


class Views(NamedTuple):
    """Vectors of every view, one after the other in columns; unit rows in each, or zero."""

    user_vectors: Tensor  # (n_users, d)
    item_vectors: Tensor  # (n_items + 1, d)
    of_column: Tensor  # (d,), the view of every column
    shares: Tensor  # (n_views,), before any answer; they sum to 1
    deviations: Tensor  # (n_views,), of interest over random pairs of users and items

    @classmethod
    def beside(
        cls, main: InterestVectors, others: Sequence[InterestVectors] = (), share: float = 0.1
    ) -> Self:
        """The main view, and `share` for each of the others that tells users or items apart.

        Raises
        ------
        InvalidInputError
            If the shares of the others sum to 1 or more.
        """
        if share * len(others) >= 1:
            raise InvalidInputError(
                f"share of {len(others)} other views must leave some to the main one, got {share}"
            )
        spread = [(view, _deviation(view)) for view in others]
        useful = [(view, deviation) for view, deviation in spread if deviation > LEAST_SPREAD]
        views = [main, *(view for view, _ in useful)]
        users, items = (torch.cat(parts, 1) for parts in zip(*views, strict=True))
        sizes = torch.tensor([view.item_vectors.shape[1] for view in views])
        of_column = torch.arange(len(views)).repeat_interleave(sizes)
        shares = torch.tensor([1 - share * len(useful), *[share] * len(useful)])
        deviations = [max(_deviation(main), 1e-6), *(deviation for _, deviation in useful)]
        found = cls(users, items, of_column, shares, torch.tensor(deviations))
        return found.to(items.device)

    def to(self, device: torch.device | str) -> Self:
        """The views on another device."""
        return type(self)(*(part.to(device) for part in self))

    def weighted(self, vectors: Tensor, shares: Tensor) -> Tensor:
        """Vectors (..., d) as one view, with these shares (n_views,)."""
        return vectors * shares.sqrt()[self.of_column]

    def sums(self, columns: Tensor) -> Tensor:
        """Columns (n, d) added up by view: (n, n_views)."""
        return columns.new_zeros(len(columns), len(self.shares)).index_add(
            1, self.of_column, columns
        )

    def units(self, vectors: Tensor) -> Tensor:
        """Rows (n, d) with length 1 in every view."""
        length = self.sums(vectors**2).sqrt().clamp(min=1e-12)
        return vectors / length[:, self.of_column]


def fitted_views(
    ingredients: Ingredients,
    graphau: GraphAUOptions,
    n_models: int,
    others: Sequence[str],
    *,
    share: float,
    sizes: tuple[int, int],
) -> Views:
    """The views of a run, or of an opened guide, with items that came after the fit.

    Parameters
    ----------
    n_models : int
        GraphAU models, each of another seed, that are the main view together.
    others : sequence of "companions" and "categories"
    share
        Of each of the others in interest.
    sizes : two ints
        Length of the main view's vectors, at most, and of the others'.
    """
    main_size, size = sizes

    def fit(training: Training, folder: Path) -> None:
        main = _main_view(training, graphau, n_models, main_size)
        found = [_other_view(training, name, size) for name in others]
        known = [view for view in found if view is not None]
        views = Views.beside(main, known, share)
        save_file({n: x.contiguous() for n, x in views._asdict().items()}, folder / VIEWS)

    inputs = {
        "graphau": graphau.model_dump(),
        "n_models": n_models,
        "others": list(others),
        "share": share,
        "main_size": main_size,
        "size": size,
    }
    saved = Views(**load_file(ingredients.fitted("views", inputs, fit) / VIEWS))
    of_view = [saved.item_vectors[:, saved.of_column == n] for n in range(len(saved.shares))]
    item_vectors = torch.cat([ingredients.extended(x) for x in of_view], 1)
    return saved._replace(item_vectors=item_vectors).to(ingredients.device)


def _main_view(training: Training, graphau: GraphAUOptions, n: int, size: int) -> InterestVectors:
    """Own models side by side, which averages their cosines: unit rows of `size` at most.

    Where they agree they have fewer directions than columns: those are kept in which users and
    items together are longest.
    """
    models = [_own_vectors(training, graphau, number) for number in range(n)]
    users, items = (torch.cat(parts, 1) for parts in zip(*models, strict=True))
    if users.shape[1] > size:
        squares = users.T @ users + items.T @ items
        directions = torch.linalg.eigh(squares.double())[1][:, -size:].float()
        users, items = users @ directions, items @ directions
    return InterestVectors(*(F.normalize(x, dim=1) for x in (users, items)))


def _own_vectors(training: Training, options: GraphAUOptions, n: int) -> InterestVectors:
    """Interest vectors of the n-th own model, fitted once."""
    seed = int(generator(training.seed, "foresight", n).integers(2**31))

    def fit(training: Training, folder: Path) -> None:
        vectors, _ = fit_graphau(
            training.dataset,
            options,
            seed=seed,
            checkpoint=folder / "checkpoint.safetensors",
            device=training.device,
            progress=training.progress,
        )
        tensors = {"users": vectors.user_vectors, "items": vectors.item_vectors}
        save_file(tensors, folder / "vectors.safetensors")

    inputs = {"graphau": options.model_dump(), "own_seed": seed}
    saved = load_file(training.part("belief", inputs, fit) / "vectors.safetensors")
    return training.placed(InterestVectors(saved["users"], saved["items"]))


def _other_view(training: Training, name: str, size: int) -> InterestVectors | None:
    """A view that needs no training; None where the catalogue gives none."""
    if name == "categories":
        return categories(training.dataset, size)
    return training.placed(companions(training.dataset, size))


def companions(dataset: Dataset, size: int) -> InterestVectors:
    """Items by those that the same users have; users at the mean of their train items.

    The leading directions of :func:`proactrec.policies.together.information`, by the roots of their
    strengths.
    """
    matrix, transposed = information(dataset.before("train"), dataset.n_items + 1)
    rng = torch_generator(0, "companions")
    directions, strength = left_singular(matrix, transposed, size, rng)
    return _from_items(dataset, (directions * strength.sqrt()).float())


def categories(dataset: Dataset, size: int) -> InterestVectors | None:
    """Items by the catalogue's categories, the rarer the weightier; None if there are none.

    Centred, so that what all items share counts nothing. Users stand at the mean of their train
    items.
    """
    if not dataset.items.category_names:
        return None
    nameless = [""] * dataset.n_items
    options = ContentOptions(n_components=size, min_items=1)
    content = content_vectors(nameless, dataset.categories, options=options)
    content = F.normalize(content, dim=1)
    has_any = (content != 0).any(1, keepdim=True)
    content = (content - content.mean(0)) * has_any
    return _from_items(dataset, torch.cat([content.new_zeros(1, content.shape[1]), content]))


def _from_items(dataset: Dataset, items: Tensor) -> InterestVectors:
    """Items (n_items + 1, d) as unit rows, or zero; users at the mean of their train items."""
    length = items.norm(dim=1, keepdim=True)
    items = torch.where(length > 1e-6, items / length.clamp(min=1e-6), 0)
    items[0] = 0
    train = dataset.before("train")
    users = torch.zeros(dataset.n_users, items.shape[1])
    places = (torch.from_numpy(x).split(READ_AT_ONCE) for x in (train.user_idx, train.item_idx))
    for user_idx, item_idx in zip(*places, strict=True):
        users.index_add_(0, user_idx, items[item_idx])
    return InterestVectors(F.normalize(users, dim=1), items)


def _deviation(view: InterestVectors) -> float:
    """Deviation of interest over random pairs of users and items."""
    rng = generator(0, "foresight pairs")
    users = rng.integers(len(view.user_vectors), size=N_SPREAD_PAIRS)
    items = rng.integers(1, len(view.item_vectors), size=N_SPREAD_PAIRS)
    return float((view.user_vectors[users] * view.item_vectors[items]).sum(1).std())
