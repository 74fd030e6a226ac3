"""Items that nobody has touched and users who have only begun, placed in the interest space."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.threads import one_thread
from proactrec.types import BoolArray, IntArray

PENALTIES = tuple(10.0**exponent for exponent in np.arange(-3, 3.01, 0.5))
"""Ridge penalties that are compared by leave-one-out error."""


class ContentMap(NamedTuple):
    r"""Linear map from content to interest: :math:`e = \bar e + (z - \bar z) W`."""

    weights: Tensor  # (n_components, d)
    content_mean: Tensor  # (n_components,)
    vector_mean: Tensor  # (d,)
    penalty: float
    error: float  # mean squared leave-one-out error over warm items, sum over dimensions

    def __call__(self, content: Tensor) -> Tensor:
        """Vectors of items with these content vectors, (n, d)."""
        return (self.vector_mean + (content.double() - self.content_mean) @ self.weights).float()


@one_thread()
def fit_content_map(content: Tensor, vectors: Tensor) -> ContentMap:
    r"""Ridge regression from content to interest vectors; leave-one-out chooses its penalty.

    .. math::
        W = (Z^\top Z + \lambda I)^{-1} Z^\top E, \quad
        r_i = \frac{e_i - \hat e_i}{1 - h_{ii} - 1/n}

    for centred Z and E; :math:`r_i` is the exact error of item i under the map that was fitted
    without it, with :math:`h = Z (Z^\top Z + \lambda I)^{-1} Z^\top`.

    Parameters
    ----------
    content : float tensor, shape (n, n_components)
    vectors : float tensor, shape (n, d)
        Of the same items, learnt from interactions.

    Raises
    ------
    InvalidInputError
        If there are fewer than 3 items.
    """
    if len(content) != len(vectors) or len(content) < 3:
        raise InvalidInputError(
            f"a content map needs at least 3 items with both vectors, got {len(content)} content "
            f"vectors and {len(vectors)} interest vectors"
        )
    z_mean, e_mean = content.double().mean(0), vectors.double().mean(0)
    z, e = content.double() - z_mean, vectors.double() - e_mean
    left, values, right = torch.linalg.svd(z, full_matrices=False)
    projected = left.t() @ e  # (k, d)
    errors = []
    for penalty in PENALTIES:
        kept = values.square() / (values.square() + penalty)  # (k,)
        fitted = left @ (kept[:, None] * projected)
        leverage = (left.square() * kept).sum(1) + 1 / len(z)
        residual = (e - fitted) / (1 - leverage).clamp_min(1e-9)[:, None]
        errors.append(float(residual.square().sum(1).mean()))
    error, penalty = min(zip(errors, PENALTIES, strict=True))
    shrunk = values / (values.square() + penalty)
    weights = right.t() @ (shrunk[:, None] * projected)
    return ContentMap(weights, z_mean, e_mean, penalty, error)


def place_items(
    item_vectors: Tensor, content: Tensor, is_cold: BoolArray, *, is_unit: bool
) -> Tensor:
    """Item vectors in which cold items have the place that their content suggests.

    Parameters
    ----------
    item_vectors : float tensor, shape (n_items + 1, d)
        Rows of cold items are not read.
    content : float tensor, shape (n_items, n_components)
    is_cold : bool array, shape (n_items,)
        Whether an item has no interactions that its vector was learnt from.
    is_unit : bool
        Whether rows have length 1, as interest vectors do; else they have the length that the map
        gives, which is the shorter the less the content says.

    Returns
    -------
    float tensor, shape (n_items + 1, d)
        Row 0 and warm rows are as they were.
    """
    cold = torch.from_numpy(is_cold)
    placed, warm_rows = item_vectors.clone(), item_vectors[1:].cpu()[~cold]
    found = fit_content_map(content[~cold], warm_rows)(content[cold])
    placed[1:][cold] = (F.normalize(found, dim=1) if is_unit else found).to(placed)
    return placed


def user_from_items(item_vectors: Tensor, item_idx: IntArray) -> Tensor:
    r"""A user's unit vector from first events: :math:`n(\sum_i e_i)`, shape (d,).

    That is where alignment alone would put the user, see :mod:`proactrec.graphau`.

    Raises
    ------
    InvalidInputError
        If there is no item.
    """
    if not len(item_idx):
        raise InvalidInputError("a user's place needs at least one item, got none")
    return F.normalize(item_vectors[torch.from_numpy(item_idx)].sum(0), dim=0)


def user_from_category(dataset: Dataset, item_vectors: Tensor, category: str) -> Tensor:
    r"""A user's unit vector from the choice of a category: :math:`n(\sum_{i \in c} n_i e_i)`.

    With :math:`n_i` the train interactions of item i: the middle of what people really take from
    the category, not of all that it lists.

    Raises
    ------
    UnknownIdError
        If no item carries the category.
    InvalidInputError
        If none of its items has a train interaction.
    """
    counts = dataset.train_counts
    items = dataset.items.of_category(category)
    if not counts[items].any():
        raise InvalidInputError(f"no item of the category {category!r} has a train interaction")
    weights = torch.from_numpy(counts[items]).to(item_vectors)
    return F.normalize(weights @ item_vectors[torch.from_numpy(items)], dim=0)
