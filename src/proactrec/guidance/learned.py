"""What a policy learned from answers, as tensors by name: so folders and databases keep it."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def tensors_of(knowledge: Any) -> dict[str, Tensor]:
    """A named tuple of tensors and numbers as tensors."""
    return {
        name: torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
        .clone()
        .contiguous()
        for name, value in knowledge._asdict().items()
    }


def knowledge_of(like: Any, saved: Mapping[str, Tensor], n_fitted: int, n_items: int) -> Any:
    """Knowledge of the kind of `like` from tensors.

    Of items that came after the fit, which are others everywhere, it is what `like` knows; and of
    what comes last in `like` and was not learned yet when the tensors were saved.
    """
    found: dict[str, Any] = {}
    for name, prior in like._asdict().items():
        value = saved[name]
        if not isinstance(prior, Tensor):
            found[name] = float(value)
        elif prior.dim() == 1 and len(prior) == n_items + 1:
            found[name] = torch.cat([value[: n_fitted + 1], prior[n_fitted + 1 :]])
        elif value.shape < prior.shape:
            found[name] = prior.clone()
            found[name][tuple(map(slice, value.shape))] = value
        else:
            found[name] = value
    return like._replace(**found)
