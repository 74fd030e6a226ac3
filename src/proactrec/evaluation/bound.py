r"""What no policy can pass: a proven upper bound of what journeys are worth, without sampling.

Where users stand is relaxed to two numbers, interest in the target :math:`s = e_t^\top m` and mass
A; dynamic programming over these gives every policy at least what it can get. A user who accepted
some items stands at

.. math::
    m = \textstyle\sum_l a_l e_l, \qquad a_l \ge 0, \quad \sum_l a_l = A \ge |m| = 1,

the start :math:`m_0` being one of the :math:`e_l`, no item twice, as nothing is accepted twice. If
i is accepted with :math:`x = m^\top e_i`, then by the length
:math:`N = \sqrt{\beta^2 + (1 - \beta)^2 + 2 \beta (1 - \beta) x}` of the sum

.. math::
    s' = \frac{\beta s + (1 - \beta)\, e_i^\top e_t}{N}, \qquad A' = \frac{\beta A + 1 - \beta}{N}.

Only x is not known. The newest item has :math:`(1 - \beta) / (\beta A + 1 - \beta) \le 1 - \beta`
of the mass, and what had a share loses as much of it: so r items have at most :math:`1 - \beta^r`,
and the start at most :math:`\beta` after an acceptance. For every item j that was not accepted, and
any :math:`\mu`, therefore

.. math::
    x = \mu s + \sum_l a_l (e_l^\top e_j - \mu\, e_l^\top e_t) \le \mu s + A\, h_j(\mu),

with :math:`h_j(\mu)` the largest mean of the brackets under such shares. The angles of s,
:math:`e_j^\top e_t` and x obey the triangle inequality besides. The programme takes whatever x both
allow. It works on cells, rounded upward, with values that are made to grow with s and A.

The first acceptance is not relaxed: until then the user stands at :math:`m_0`. That an item is not
shown again once refused is used of the target only; showing nothing is allowed.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.evaluation.pairs import Pairs
from proactrec.ranking import penalties
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World
from proactrec.types import FloatArray
from proactrec.worth import Worth

MULTIPLIERS = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
N_NEIGHBOURS = 12
ROUNDING = 1e-6
"""Vectors have unit length up to rounding; everything is rounded upward by as much."""


class BoundOptions(Options):
    """How finely the programme tells states apart; the finer, the lower the bound."""

    interest_step: float = Field(0.0025, gt=0, le=0.1, description="width of cells of interest")
    mass_ratio: float = Field(1.015, gt=1, le=1.5, description="of neighbouring cells of mass")
    largest_mass: float = Field(3.0, gt=1, description="beyond, only the triangle bounds x")
    chance_ratio: float = Field(1.03, gt=1, le=2, description="of chances in a cell of x")


class Journey(NamedTuple):
    """What decides the worth of a journey, beside where its user stands."""

    response: DistributionResponse
    kept_share: float
    stays: tuple[float, float]  # chances, after an acceptance and after a refusal
    worth: Worth
    goes_on: bool  # after the target was accepted
    shows_again: bool  # what was refused
    n_rounds: int

    def chance(self, x: Tensor) -> Tensor:
        """Of acceptance, by interest in an item."""
        return self.response.accept_prob(x)

    def length(self, x: Tensor) -> Tensor:
        """Of a user's vector after acceptance, before it is made a unit vector."""
        kept = self.kept_share
        return (kept**2 + (1 - kept) ** 2 + 2 * kept * (1 - kept) * x).clamp(min=1e-18).sqrt()


class Cells(NamedTuple):
    """Upper and lower edges of the cells of interest (S,), mass (A,) and x (X,)."""

    interest: Tensor
    interest_low: Tensor
    mass: Tensor
    mass_low: Tensor
    x: Tensor
    x_low: Tensor

    @classmethod
    def of(cls, journey: Journey, lowest: float, options: BoundOptions) -> "Cells":
        """Cells for users whose interest is seldom below the lowest."""
        n_steps = math.ceil((1 - lowest) / options.interest_step) + 1
        interest = torch.linspace(max(lowest, -1), 1, n_steps, dtype=torch.float64)
        n_mass = math.ceil(math.log(options.largest_mass) / math.log(options.mass_ratio))
        mass = options.mass_ratio ** torch.arange(n_mass + 1, dtype=torch.float64)
        edges = torch.tensor(_edges(journey.response, options.chance_ratio), dtype=torch.float64)
        return cls(
            interest,
            torch.cat([interest.new_tensor([-1.0]), interest[:-1]]),
            torch.cat([mass, mass.new_tensor([torch.inf])]),
            torch.cat([mass[:1], mass]),
            edges[1:],
            edges[:-1],
        )

    def place(self, interest: Tensor, mass: Tensor) -> Tensor:
        """Of states in (S, A) as one axis, rounded upward."""
        row = torch.searchsorted(self.interest, interest.clamp(max=1))
        column = torch.searchsorted(self.mass, mass.contiguous())
        return row * len(self.mass) + column


def _edges(response: DistributionResponse, ratio: float) -> list[float]:
    """Of cells of x from -1 to 1 in which chances differ by a ratio at most, if they matter."""
    edges = [1.0]
    while edges[-1] > -1:
        chance = 1 / (1 + math.exp(min(-response.slope * (edges[-1] - response.offset), 700)))
        wanted = math.log(ratio) if chance > 0.02 else 0.5
        steep = abs(response.slope) * (1 - chance)
        edges.append(edges[-1] - min(0.025, wanted / max(steep, 1e-9)))
    edges[-1] = -1.0
    return edges[::-1]


class Items(NamedTuple):
    """Items that may be shown on the way to a target, by how near they are to it."""

    toward: Tensor  # (C,), largest inner product with the target of a bin
    support: Tensor  # (M, C), the largest h of each multiplier in a bin


def items_of(
    items: Tensor, target: int, starts: Tensor, toward_start: Tensor, kept: float, width: float
) -> Items:
    """All items but the target, in bins.

    Parameters
    ----------
    items : float64 tensor, shape (n_items, d)
    target : int
        Its row.
    starts : float64 tensor, shape (n_users, n_items)
        Inner products of where users stand at first; -inf for what may not be shown to them.
    toward_start : float64 tensor, shape (n_users, 1)
        The same with the target.
    kept, width : float
        Share of the old vector that stays; width of bins.
    """
    near, toward = items @ items.T, items @ items[target]
    near.fill_diagonal_(-torch.inf)
    n_near = min(N_NEIGHBOURS, len(items) - 1)
    share = (1 - kept) * kept ** torch.arange(n_near + 1, dtype=items.dtype)
    share[-1] = kept**n_near
    support = []
    for multiplier in MULTIPLIERS:
        best = (near - multiplier * toward).topk(n_near, 1).values  # (n_items, n_near)
        start = (starts - multiplier * toward_start).amax(0)[:, None]  # (n_items, 1)
        rest = torch.maximum(torch.cat([best[:, 1:], best[:, -1:]], 1), start)
        support.append(torch.cat([best[:, :1], rest], 1) @ share)
    table = torch.stack(support)  # (M, n_items)
    others = torch.arange(len(items)) != target
    numbers = ((toward[others] + 1) / width).floor().long()
    bins, of_bin = numbers.unique(return_inverse=True)
    empty = torch.full((len(table), len(bins)), -torch.inf, dtype=items.dtype)
    into = of_bin.expand(len(table), -1)
    return Items(
        empty[0].scatter_reduce(0, of_bin, toward[others], "amax"),
        empty.scatter_reduce(1, into, table[:, others], "amax"),
    )


class Steps(NamedTuple):
    """What the best item of each cell of x does, by states (S, A) as one axis."""

    chance: Tensor  # (X,)
    place: Tensor  # (S * A, X), of the state after acceptance
    allowed: Tensor  # (S * A, X) bool


def steps_of(journey: Journey, cells: Cells, items: Items) -> Steps:
    """The item nearest to the target that may have an x of a cell; more is not known of it."""
    toward = torch.minimum(_toward_by_mass(cells, items), _toward_by_angle(cells)[:, None])
    interest, is_none = cells.interest[:, None, None], toward == -torch.inf
    pushed = journey.kept_share * interest + (1 - journey.kept_share) * toward
    low, high = journey.length(cells.x_low), journey.length(cells.x)
    after = pushed / torch.where(pushed >= 0, low, high) + ROUNDING
    mass = (journey.kept_share * cells.mass + 1 - journey.kept_share)[:, None] / low
    place = cells.place(after.masked_fill(is_none, -1), mass.expand_as(after))
    return Steps(journey.chance(cells.x), place.flatten(0, 1), ~is_none.flatten(0, 1))


def _toward_by_mass(cells: Cells, items: Items) -> Tensor:
    """Largest inner product with the target of items that mass allows x: (S, A, X)."""
    x = torch.full((), torch.inf, dtype=cells.x.dtype)
    for multiplier, support in zip(MULTIPLIERS, items.support, strict=True):
        of_interest = torch.maximum(multiplier * cells.interest, multiplier * cells.interest_low)
        of_mass = torch.maximum(cells.mass[:, None] * support, cells.mass_low[:, None] * support)
        x = torch.minimum(x, of_interest[:, None, None] + of_mass.nan_to_num(0.0, torch.inf))
    cell = torch.searchsorted(cells.x, x + ROUNDING).clamp(max=len(cells.x) - 1)  # (S, A, C)
    best = torch.full((*x.shape[:2], len(cells.x)), -torch.inf, dtype=x.dtype)
    toward = items.toward.expand_as(x).masked_fill(x + ROUNDING < -1, -torch.inf)
    best.scatter_reduce_(2, cell, toward, "amax")
    return best.flip(2).cummax(2).values.flip(2)


def _toward_by_angle(cells: Cells) -> Tensor:
    """The same by the triangle inequality, of items that need not be: (S, X)."""
    far, near = cells.interest_low.acos()[:, None], cells.interest.acos()[:, None]
    gap = torch.maximum(near - cells.x_low.acos(), cells.x.acos() - far)
    return gap.clamp(min=0).cos() + ROUNDING


class Values(NamedTuple):
    """Worth to come with the worth of interest now, for states (S * A,)."""

    open: Tensor  # while the target may be accepted
    closed: Tensor


def values_of(journey: Journey, cells: Cells, steps: Steps) -> list[Values]:
    """Values with 0, 1, ... rounds left."""
    worth, (stays, stays_refused) = journey.worth, journey.stays
    shape = len(cells.interest), len(cells.mass)
    interest = cells.interest[:, None].expand(shape).flatten()
    own = worth.interest * interest
    target = _target_step(journey, cells)
    found = [Values(own, own)]
    for _ in range(journey.n_rounds):
        best, accepted, refused = [], [], []
        for value in found[-1]:
            accepted.append(stays * value + (1 - stays) * own)
            refused.append(stays_refused * value + (1 - stays_refused) * own)
            gain = worth.step + accepted[-1][steps.place] - refused[-1][:, None]
            gain = (gain * steps.allowed * steps.chance).amax(1).clamp(min=0)
            best.append(torch.maximum(accepted[-1], refused[-1] + gain))
        wins = worth.target + worth.step + (accepted[1] if journey.goes_on else own)[target.place]
        loses = refused[0 if journey.shows_again else 1]
        best[0] = torch.maximum(best[0], loses + target.chance * (wins - loses).clamp(min=0))
        grown = (x.view(shape).cummax(0).values.cummax(1).values.flatten() for x in best)
        found.append(Values(*grown))
    return found


class Target(NamedTuple):
    """What showing the target does, whose x is interest itself; by states (S * A,)."""

    chance: Tensor
    place: Tensor  # after acceptance


def _target_step(journey: Journey, cells: Cells) -> Target:
    kept = journey.kept_share
    after = (kept * cells.interest + 1 - kept) / journey.length(cells.interest) + ROUNDING
    mass = (kept * cells.mass + 1 - kept) / journey.length(cells.interest_low)[:, None]
    chance = journey.chance(cells.interest)[:, None].expand_as(mass)
    return Target(chance.flatten(), cells.place(after[:, None].expand_as(mass), mass).flatten())


def upper_bounds(
    world: World,
    pairs: Pairs,
    worth: Worth,
    *,
    n_rounds: int,
    shows_again: bool = False,
    options: BoundOptions | None = None,
) -> FloatArray:
    """What no policy can exceed in expectation, of the worth of each journey: (n_pairs,).

    No policy that shows neither what its user had nor again what was accepted (nor what was
    refused, unless `shows_again`), whatever it knows of users, but the luck to come. With
    ``Worth(target=0, step=0, interest=1)`` it is of the increase of interest. What `worth` says of
    leaving is not asked: users leave as the world says.

    Raises
    ------
    InvalidInputError
        If the world has users that the proof is not of.
    """
    journey = _journey(world, worth, n_rounds, shows_again)
    found = np.empty(len(pairs.user_idx))
    for target in np.unique(pairs.target_idx):
        rows = pairs.target_idx == target
        users = torch.from_numpy(pairs.user_idx[rows]).to(world.device)
        bound = _bound_of_target(world, users, int(target), journey, options or BoundOptions())
        found[rows] = bound.cpu().numpy()
    return found


def _journey(world: World, worth: Worth, n_rounds: int, shows_again: bool) -> Journey:
    options, response = world.options, world.response
    wrong = [*options.laws.names]
    if options.receptivity != "constant":
        wrong.append(f"receptivity={options.receptivity}")
    odd = {name: getattr(options, name) for name in ("boredom", "patience", "frailty")}
    wrong += [f"{name}={value}" for name, value in odd.items() if value]
    if options.n_slots > 1 or options.noise != "none":
        wrong.append(f"n_slots={options.n_slots} and noise={options.noise}")
    if wrong or not isinstance(response, DistributionResponse):
        told = ", ".join(wrong) or "another click model than `distribution`"
        raise InvalidInputError(f"the bound is proven for worlds like medium-v2, got {told}")
    accepted, refused = world.leaving(torch.zeros(1, dtype=torch.long))[0].tolist()
    return Journey(
        response,
        options.kept_share,
        (1 - accepted, 1 - refused),
        worth,
        options.after_success == "continue",
        shows_again,
        n_rounds,
    )


def _bound_of_target(
    world: World, users: Tensor, target: int, journey: Journey, options: BoundOptions
) -> Tensor:
    """Of the journeys of these users (B,) to one target: (B,)."""
    items, start = world.item_vectors[1:].double(), world.user_vectors[users].double()
    toward_start = start @ items[target - 1 : target].T  # (B, 1)
    penalty = penalties(world.owned, users.cpu().numpy(), len(items) + 1, world.device)[:, 1:]
    x = start @ items.T + penalty  # (B, n_items)
    width = 2 * options.interest_step
    of_items = items_of(items, target - 1, x, toward_start, journey.kept_share, width)
    cells = Cells.of(journey, float(toward_start.min()) - width, options)
    values = values_of(journey, cells, steps_of(journey, cells, of_items))
    first = First(toward_start, x, items @ items[target - 1], target - 1)
    return _first_acceptance(journey, cells, values, first)


class First(NamedTuple):
    """Users who accepted nothing yet, and items."""

    interest: Tensor  # (B, 1), in the target
    x: Tensor  # (B, n_items), -inf for what may not be shown
    toward: Tensor  # (n_items,), inner product of items with the target
    target: int  # its column


def _first_acceptance(journey: Journey, cells: Cells, values: list[Values], first: First) -> Tensor:
    """Bound of users who accepted nothing yet: (B,)."""
    worth, (stays, stays_refused), target = journey.worth, journey.stays, first.target
    x, kept = first.x.clamp(min=-1, max=1), journey.kept_share
    after = (kept * first.interest + (1 - kept) * first.toward) / journey.length(x)
    place = cells.place(after + ROUNDING, 1 / journey.length(x))  # (B, n_items)
    chance = journey.chance(x) * (first.x > -torch.inf)
    own, own_after = worth.interest * first.interest[:, 0], worth.interest * after.clamp(max=1)
    found = Values(own, own)
    for value in values[: journey.n_rounds]:
        best, refused = [], [stays_refused * now + (1 - stays_refused) * own for now in found]
        for now, loses, later in zip(found, refused, value, strict=True):
            gain = stays * later[place] + (1 - stays) * own_after + worth.step - loses[:, None]
            gain[:, target] = 0
            step = loses + (gain * chance).amax(1).clamp(min=0)
            best.append(torch.maximum(step, stays * now + (1 - stays) * own))
        then = own_after[:, target]
        if journey.goes_on:
            then = stays * value.closed[place[:, target]] + (1 - stays) * then
        loses = refused[0 if journey.shows_again else 1]
        wins = (worth.target + worth.step + then - loses).clamp(min=0)
        found = Values(torch.maximum(best[0], loses + chance[:, target] * wins), best[1])
    return found.open - own
