"""Users who have had enough of a category: how much alike the shown and the newest items are."""

import torch
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.data.trees import with_ancestors


def carried_categories(dataset: Dataset, *, ancestors: bool = False) -> Tensor:
    """1 where an item carries a category, else 0: (n_items + 1, n_categories), row 0 padding.

    With `ancestors` also where it carries one that lies in it.
    """
    names = {name: place for place, name in enumerate(dataset.items.category_names)}
    carried = torch.zeros(dataset.n_items + 1, len(names))
    for item, categories in enumerate(dataset.categories, start=1):
        carries = with_ancestors(categories) if ancestors else categories
        carried[item, [names[name] for name in carries]] = 1
    return carried


def share_alike(carried: Tensor, recent: Tensor, item_idx: Tensor | None = None) -> Tensor:
    """Share of users' newest items that carry one of an item's categories.

    Parameters
    ----------
    carried : float tensor, shape (n_items + 1, n_categories)
        See :func:`carried_categories`.
    recent : int tensor, shape (B, n_recent)
        Items, 0 = none; whoever has none at all gets 0.
    item_idx : int tensor, shape (B,), optional
        The items asked about; all by default.

    Returns
    -------
    float tensor, shape (B,), or (B, n_items + 1) if all are asked about
    """
    if item_idx is not None:
        common = carried[recent] @ carried[item_idx][:, :, None]  # (B, n_recent, 1)
        n_alike = (common > 0).sum(1)
    else:
        n_alike = torch.zeros(len(recent), len(carried), dtype=torch.int64, device=recent.device)
        for items in recent.T:  # one after the other, or memory would hold (B, n_recent, n_items)
            n_alike += carried[items] @ carried.T > 0
    share = n_alike / (recent > 0).sum(1, keepdim=True).clamp(min=1)  # (B, 1 or n_items + 1)
    return share if item_idx is None else share[:, 0]
