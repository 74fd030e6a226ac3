r"""What no policy can pass: a proven upper bound of what journeys are worth, without sampling.

Where a user stands is relaxed to one number, interest in the target :math:`s = e_t^\top m`. If item
i is accepted, with :math:`x = m^\top e_i` and :math:`c = e_i^\top e_t`, it becomes

.. math::
    s' = \frac{\beta s + (1 - \beta)\, c}{\sqrt{\beta^2 + (1 - \beta)^2 + 2 \beta (1 - \beta)\, x}}

and all that is not known of it is x, which on the sphere obeys the triangle inequality: with the
angles of s, c and x, :math:`\theta_c \ge |\theta_s - \theta_x|`. Dynamic programming that may take
any such x for any item, the best for each, gives every policy at least what it can get,

.. math::
    V_n(s) = V_{n-1}(s) + \max_{c, x} \big[ \sigma(w (x - b))\,(V_{n-1}(s') - V_{n-1}(s)) - \nu_c
    \big]^+

for interest alone where nobody leaves. No item is shown twice. So a policy pays at most the sum of
all prices, whatever non-negative prices :math:`\nu` showing an item has: the bound is V for users
who pay them, plus that sum, and the smallest of those tried. The target, whose x is s, is shown
once; before the first acceptance users stand where they do, and x of every item is known.

V is computed for cells of s and x, rounded upward, and made to grow with s: a larger s stands for
the smaller ones.
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
from proactrec.types import FloatArray, IntArray
from proactrec.worth import Worth

ROUNDING = 1e-6
"""Vectors have unit length up to rounding; s' is rounded upward by as much."""


class BoundOptions(Options):
    """How finely states are told apart, and prices that are tried: the more, the lower it gets."""

    interest_step: float = Field(0.0015, gt=0, le=0.1, description="width of cells of s")
    chance_ratio: float = Field(1.08, gt=1, le=2, description="of chances within a cell of x")
    prices: tuple[float, ...] = Field(
        (0.0, 0.02, 0.04, 0.06),
        min_length=1,
        description="of a unit of an item's nearness to the target, above that of the nearest "
        "item that could be left over",
    )


class Journey(NamedTuple):
    """What decides the worth of a journey, beside where its user stands."""

    response: DistributionResponse
    kept_share: float
    stays: tuple[float, float]  # chances, after an acceptance and after a refusal
    worth: Worth
    goes_on: bool  # after the target was accepted
    shows_again: bool  # what was refused
    n_rounds: int

    def after(self, interest: Tensor, toward: Tensor, x: Tensor) -> Tensor:
        """Interest once an item is accepted."""
        kept = self.kept_share
        pushed = kept * interest + (1 - kept) * toward
        length = (kept**2 + (1 - kept) ** 2 + 2 * kept * (1 - kept) * x).clamp(min=1e-18).sqrt()
        return (pushed / length).clamp(min=-1, max=1)

    def paid(self, prices: Tensor, chance: Tensor) -> Tensor:
        """Price of showing; of acceptance, if what was refused may be shown again."""
        return prices * chance if self.shows_again else prices

    def left(self, value: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """Worth to come after acceptance and after refusal; who leaves keeps their own interest."""
        accepted, refused = self.stays
        return accepted * value + (1 - accepted) * own, refused * value + (1 - refused) * own


class Cells(NamedTuple):
    """Upper and lower edges of the cells of s (S,) and of x (X,)."""

    interest: Tensor
    interest_low: Tensor
    x: Tensor
    x_low: Tensor

    @classmethod
    def of(cls, response: DistributionResponse, lowest: float, options: BoundOptions) -> "Cells":
        """Cells for users whose interest is seldom below the lowest."""
        lowest = max(lowest, -1.0)
        n_steps = math.ceil((1 - lowest) / options.interest_step) + 1
        interest = torch.linspace(lowest, 1, n_steps, dtype=torch.float64)
        edges = torch.tensor(_edges(response, options.chance_ratio), dtype=torch.float64)
        low = torch.cat([interest.new_tensor([-1.0]), interest[:-1]])
        return cls(interest, low, edges[1:], edges[:-1])

    def place(self, interest: Tensor) -> Tensor:
        """Cell of an interest, rounded upward."""
        return torch.searchsorted(self.interest, (interest + ROUNDING).clamp(max=1).contiguous())


def _edges(response: DistributionResponse, ratio: float) -> list[float]:
    """Of cells of x from -1 to 1 in which chances differ by a ratio at most, if they matter."""
    edges = [1.0]
    while edges[-1] > -1:
        chance = 1 / (1 + math.exp(min(-response.slope * (edges[-1] - response.offset), 700)))
        wanted = math.log(ratio) if chance > 0.02 else 0.5
        steep = abs(response.slope) * (1 - chance)
        edges.append(edges[-1] - min(0.02, wanted / max(steep, 1e-9)))
    edges[-1] = -1.0
    return edges[::-1]


class Groups(NamedTuple):
    """Items other than the target, in groups by nearness to it, the nearest first."""

    toward: Tensor  # (n_items,), inner products with the target
    most: Tensor  # (G,), the largest of them in a group
    least: Tensor  # (G,)
    of_item: Tensor  # (n_items,), its group
    spare: float  # inner product of the nearest item that no journey has a round for

    @classmethod
    def of(cls, toward: Tensor, target: int, n_rounds: int) -> "Groups":
        """Groups of 1, 2, 3, ... items, up to as many items as there are rounds, and of the rest.

        By inner products with the target (n_items,), whose own group is without meaning.
        """
        order = toward.argsort(descending=True)
        order = order[order != target]
        n_served = min(n_rounds, len(order) - 1)
        ends = [size * (size + 1) // 2 for size in range(1, n_served + 1)]
        ends = [end for end in ends if end < n_served] + [n_served] * (n_served > 0)
        rank = torch.empty(len(toward), dtype=torch.long)
        rank[order] = torch.arange(len(order))
        rank[target] = 0
        most = order[torch.tensor([0, *ends])]
        least = order[torch.tensor([*ends, len(order)]) - 1]
        of_item = torch.searchsorted(torch.tensor(ends), rank, right=True)
        spare = float(toward[order[n_served]])
        return cls(toward, toward[most], toward[least], of_item, spare)

    def prices(self, of_unit: float) -> Tensor:
        """Of an item of each group: (G,)."""
        return of_unit * (self.most - self.spare).clamp(min=0)


class Steps(NamedTuple):
    """What an item of each group does at most, by cells of s and x: (G, S, X)."""

    chance: Tensor  # of acceptance, 0 where no item has such an x
    place: Tensor  # of interest after it

    @classmethod
    def of(cls, journey: Journey, cells: Cells, groups: Groups) -> "Steps":
        """Of the item nearest to the target in a group that may have such an x."""
        far, near = cells.interest_low.acos()[:, None], cells.interest.acos()[:, None]
        gap = torch.maximum(near - cells.x_low.acos(), cells.x.acos() - far)  # (S, X)
        nearest = gap.clamp(min=0).cos() + ROUNDING
        toward = torch.minimum(groups.most[:, None, None], nearest)
        interest = cells.interest[:, None]
        after = torch.maximum(*(journey.after(interest, toward, x) for x in (cells.x_low, cells.x)))
        chance = journey.response.accept_prob(cells.x)
        return cls(chance * (nearest >= groups.least[:, None, None]), cells.place(after))


class Values(NamedTuple):
    """Worth to come, with what interest is worth now: (S,) by cells, or (B,) by users."""

    open: Tensor  # while the target may be accepted
    closed: Tensor


def values_of(journey: Journey, cells: Cells, steps: Steps, prices: Tensor) -> list[Values]:
    """Values of cells with 0, 1, ... rounds left, for users who pay prices (G,)."""
    worth, own = journey.worth, journey.worth.interest * cells.interest
    chance = journey.response.accept_prob(cells.interest)  # of the target
    place = cells.place(journey.after(cells.interest, torch.ones(()), cells.interest))
    paid = journey.paid(prices[:, None, None], steps.chance)
    found = [Values(own, own)]
    for _ in range(journey.n_rounds):
        (accepted, refused), (won, lost) = (journey.left(value, own) for value in found[-1])
        best = []
        for then, loses in ((accepted, refused), (won, lost)):
            gain = steps.chance * (worth.step + then[steps.place] - loses[:, None]) - paid
            best.append(torch.maximum(then, loses + gain.amax((0, 2)).clamp(min=0)))
        wins = worth.target + worth.step + (won if journey.goes_on else own)[place]
        loses = refused if journey.shows_again else lost
        best[0] = torch.maximum(best[0], loses + chance * (wins - loses).clamp(min=0))
        found.append(Values(*(value.cummax(0).values for value in best)))
    return found


class Start(NamedTuple):
    """Users who accepted nothing yet, and the K items that may be best for each."""

    interest: Tensor  # (B,), in the target
    chance: Tensor  # (B, K), of acceptance
    after: Tensor  # (B, K), interest after it
    group: Tensor  # (B, K)
    n_may: Tensor  # (B, G), items of each group that may be shown
    target_chance: Tensor  # (B,)
    target_after: Tensor  # (B,)

    @classmethod
    def of(cls, journey: Journey, x: Tensor, may: Tensor, target: int, groups: Groups) -> "Start":
        """By inner products with items (B, n_items), and whether these may be shown."""
        after = journey.after(x[:, target, None], groups.toward, x)
        chance = journey.response.accept_prob(x) * may
        own_chance, own_after = chance[:, target].clone(), after[:, target].clone()
        chance[:, target] = 0  # it is no step
        is_dear = groups.of_item < len(groups.most) - 1
        column = _undominated(chance, after, is_dear)
        group = groups.of_item.expand_as(x)
        n_may = torch.zeros(len(x), len(groups.most), dtype=x.dtype)
        n_may.scatter_add_(1, group, (may & (chance > 0)).to(x.dtype))
        return cls(
            x[:, target],
            chance.gather(1, column),
            after.gather(1, column),
            group.gather(1, column),
            n_may,
            own_chance,
            own_after,
        )


def _undominated(chance: Tensor, after: Tensor, always: Tensor) -> Tensor:
    """Columns of items (B, n) beside which none is better in both; and of others that fill up.

    And of those that are looked at `always` (n,).
    """
    order = after.masked_fill(chance == 0, -2).argsort(1, descending=True)
    chance = chance.gather(1, order)
    keep = (chance > 0) & ((chance >= chance.cummax(1).values) | always[order])
    n_kept = int(keep.sum(1).max())
    return order.gather(1, keep.to(torch.int8).topk(max(n_kept, 1), 1).indices)


def value_of(
    journey: Journey, cells: Cells, values: list[Values], start: Start, prices: Tensor
) -> Tensor:
    """Value of users where they stand at first, who pay prices (G,): (B,)."""
    worth, won_place = journey.worth, cells.place(start.target_after)
    place, paid = cells.place(start.after), journey.paid(prices[start.group], start.chance)
    own, own_after, own_won = (
        worth.interest * x for x in (start.interest, start.after, start.target_after)
    )
    found = Values(own, own)
    for value in values[: journey.n_rounds]:
        best, refused = [], []
        for now, later in zip(found, value, strict=True):
            nothing, loses = journey.left(now, own)
            then, _ = journey.left(later[place], own_after)
            gain = start.chance * (worth.step + then - loses[:, None]) - paid
            best.append(torch.maximum(nothing, loses + gain.amax(1).clamp(min=0)))
            refused.append(loses)
        won, _ = journey.left(value.closed[won_place], own_won)
        wins = worth.target + worth.step + (won if journey.goes_on else own_won)
        loses = refused[0 if journey.shows_again else 1]
        gain = start.target_chance * (wins - loses).clamp(min=0)
        found = Values(torch.maximum(best[0], loses + gain), best[1])
    return found.open


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

    No policy that shows nothing that its user had and nothing twice (or nothing accepted again, if
    it `shows_again` what was refused), whatever it knows of users but the luck to come. With
    ``Worth(target=0, step=0, interest=1)`` it is of the increase of interest. What `worth` says of
    leaving is not asked: users leave as the world says.

    Raises
    ------
    InvalidInputError
        If the world has users that the proof is not of, or one of these has the target.
    """
    options, journey = options or BoundOptions(), _journey(world, worth, n_rounds, shows_again)
    if n_owners := int(world.is_owner(*pairs).sum()):
        raise InvalidInputError(f"users must not have their targets, got {n_owners} who do")
    found = np.empty(len(pairs.user_idx))
    for target in np.unique(pairs.target_idx):
        rows = pairs.target_idx == target
        bound = _bound_of_target(world, pairs.user_idx[rows], int(target), journey, options)
        found[rows] = bound.numpy()
    return found


def _journey(world: World, worth: Worth, n_rounds: int, shows_again: bool) -> Journey:
    options, response = world.options, world.response
    usual = {"receptivity": "constant", "n_slots": 1, "noise": "none", "boredom": 0.0}
    usual |= {"patience": None, "frailty": 0.0}
    wrong = [*options.laws.names]
    found = {name: getattr(options, name) for name in usual}
    wrong += [f"{name}={value}" for name, value in found.items() if value != usual[name]]
    if options.after_success == "freeze":
        wrong.append("after_success=freeze")
    if not isinstance(response, DistributionResponse):
        raise InvalidInputError("the bound knows only the click model `distribution`")
    if wrong:
        raise InvalidInputError(f"the bound is of worlds like medium-v2, got {', '.join(wrong)}")
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
    world: World, user_idx: IntArray, target: int, journey: Journey, options: BoundOptions
) -> Tensor:
    """Of the journeys of these users (B,) to one target: (B,)."""
    items = world.item_vectors[1:].double().cpu()
    users = world.user_vectors[torch.from_numpy(user_idx).to(world.device)].double().cpu()
    may = penalties(world.owned, user_idx, len(items) + 1, items.device)[:, 1:] == 0
    groups = Groups.of(items @ items[target - 1], target - 1, journey.n_rounds)
    x = (users @ items.T).clamp(min=-1, max=1)
    start = Start.of(journey, x, may, target - 1, groups)
    cells = Cells.of(journey.response, float(start.interest.min()), options)
    steps = Steps.of(journey, cells, groups)
    scale, found = journey.worth.interest + journey.worth.target, []
    for price in options.prices:
        prices = groups.prices(price * scale)
        values = values_of(journey, cells, steps, prices)
        found.append(value_of(journey, cells, values, start, prices) + start.n_may @ prices)
    return torch.stack(found).amin(0) - journey.worth.interest * start.interest
