"""Adam as torch steps it, without the compiler that torch loads for it.

Torch's optimizers load ``torch._dynamo`` when the first is made, and ask it in every step: more
than a second of a processor for a compiler that nothing here uses. Below are torch's own methods
without what it wraps around them, so each step is torch's to the bit.
"""

from inspect import unwrap
from typing import Any

import torch
from torch.optim import Optimizer


class _Uncompiled(Optimizer):
    """What all optimizers share."""

    add_param_group: Any = unwrap(Optimizer.add_param_group)
    zero_grad: Any = unwrap(Optimizer.zero_grad)
    state_dict: Any = unwrap(Optimizer.state_dict)
    load_state_dict: Any = unwrap(Optimizer.load_state_dict)


class Adam(_Uncompiled, torch.optim.Adam):
    """``torch.optim.Adam``."""

    step: Any = torch.no_grad()(unwrap(torch.optim.Adam.step))


class AdamW(_Uncompiled, torch.optim.AdamW):
    """``torch.optim.AdamW``."""

    step: Any = torch.no_grad()(unwrap(torch.optim.AdamW.step))
