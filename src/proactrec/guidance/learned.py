"""What a policy learned from answers, as tensors by name: in a guide's folder, or as bytes."""

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor


def tensors_of(knowledge: Any) -> dict[str, Tensor]:
    """A named tuple of tensors and numbers as tensors."""
    return {
        name: torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
        .clone()
        .contiguous()
        for name, value in knowledge._asdict().items()
    }


def knowledge_of(like: Any, saved: Mapping[str, Tensor]) -> Any:
    """Knowledge of the kind of `like`; of items that came later it is what `like` knows.

    Its vectors by item must not be longer than those of `like`.
    """
    found: dict[str, Any] = {}
    for name, prior in like._asdict().items():
        value = saved[name]
        if not isinstance(prior, Tensor):
            found[name] = float(value)
        elif prior.dim() == 1 and len(prior) > len(value):
            found[name] = torch.cat([value, prior[len(value) :]])
        else:
            found[name] = value
    return like._replace(**found)


def to_bytes(knowledge: Any) -> bytes:
    """Knowledge as a database keeps it (safetensors)."""
    return save(tensors_of(knowledge))


def from_bytes(like: Any, content: bytes) -> Any:
    """What :func:`to_bytes` made, see :func:`knowledge_of`."""
    return knowledge_of(like, load(content))
