r"""When to stop waiting: the best round for the one-off worth of a target, before users leave.

A user who is led toward the target comes nearer, and accepts it more likely. Interest :math:`s` in
it cannot pass 1; what it gains in expectation each round, :math:`r` at first, is taken to be a
constant share of what is left:

.. math::
    s_k = 1 - (1 - s)\Big(1 - \frac{r}{1 - s}\Big)^k, \qquad
    T(s, r) = \max_{0 \le k < n} q^k\, \sigma(a s_k + b)

with the chance :math:`q` that a user stays for another round, slope and offset of the chance of
acceptance, and the n rounds that there will be. T is what the target's acceptance is worth, in
targets, to a user who stands at s and was not shown it yet; the k that has it is how long to wait.
An optimal stopping rule needs no more: it is asked again every round, with what was learned.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

WAITS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 19, 24, 32, 48, 64)
"""Rounds of waiting that are compared; a longer wait is decided on later."""


class Stop(NamedTuple):
    """The best round to show the target; all of the same shape."""

    value: Tensor  # chance that it is accepted then, and that the user is still there
    wait: Tensor  # rounds until then
    chance: Tensor  # of acceptance then


def best_stop(
    interest: Tensor,
    rate: Tensor,
    *,
    slope: float | Tensor,
    offset: Tensor,
    stays: Tensor,
    n_rounds: Tensor,
    longest: int = WAITS[-1],
) -> Stop:
    """The best round from the next on; T in the module's doc.

    Parameters
    ----------
    interest : float tensor, shape (n, m)
        In the target, before the next round: s, at most 1.
    rate : float tensor, shape (n, m)
        Expected gain of interest in the next round: r; what is below 0 counts as 0.
    slope, offset : float or tensors that broadcast with (n, m)
        Of the logit of acceptance.
    stays : float tensor, shape (n, m) or one that broadcasts
        Chance that a user stays for another round: q.
    n_rounds : float tensor, shape (n, 1)
        Rounds that there will be: n; of less than one there is that chance, 0: none.
    longest : int
        Waits of more rounds are not compared.
    """
    most = longest
    if not n_rounds.is_cuda:  # which would have to be waited for
        most = min(longest, int(max(0.0, float(n_rounds.max()) - 1e-9)))
    waits = _waits(most, interest.dtype, interest.device)
    wait = waits[:, None, None]
    away = (1 - interest).clamp(min=1e-6)
    kept = (1 - rate.clamp(min=0) / away).clamp(min=0)
    chance = torch.sigmoid(slope * (1 - away * kept**wait) + offset)  # (n_waits, n, m)
    value, best = (stays**wait * chance * (n_rounds - wait).clamp(0, 1)).max(0)  # first of equals
    return Stop(value, waits[best], chance.gather(0, best[None])[0])


@lru_cache(maxsize=256)
def _waits(most: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.tensor([w for w in WAITS if w <= most], dtype=dtype).to(device)
