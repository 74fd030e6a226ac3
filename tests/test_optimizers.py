"""Steps are torch's to the bit, and its compiler is not loaded for them."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from proactrec.optimizers import Adam, AdamW
from proactrec.tables import RowAdam

TRAINED = """
import sys, torch
from proactrec.optimizers import {name} as Optimizer
model = torch.nn.Linear(2, 2)
optimizer = Optimizer(model.parameters())
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad()
optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def weights_after(kind: type[torch.optim.Optimizer]) -> Tensor:
    """Of a small model, after steps of changing rates, one of them from a saved state."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
    optimizer = kind(model.parameters(), lr=0.1, weight_decay=0.01)  # type: ignore[call-arg]
    for at in range(4):
        optimizer.zero_grad()
        model(torch.arange(12.0).view(4, 3)).square().sum().backward()
        optimizer.step()
        optimizer.param_groups[0]["lr"] *= 0.5
        if at == 1:
            state = optimizer.state_dict()
            optimizer = kind(model.parameters(), lr=1.0)  # type: ignore[call-arg]
            optimizer.load_state_dict(state)
    return nn.utils.parameters_to_vector(model.parameters()).detach()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW), (RowAdam, torch.optim.Adam)],
)
def test_steps_are_those_of_torch(
    ours: type[torch.optim.Optimizer], theirs: type[torch.optim.Optimizer]
) -> None:
    assert torch.equal(weights_after(ours), weights_after(theirs))
    assert not torch.equal(weights_after(ours), weights_after(torch.optim.SGD))


def test_the_compiler_is_not_loaded() -> None:
    command = [sys.executable, "-c", TRAINED.format(name="Adam")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
