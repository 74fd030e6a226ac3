"""A ceiling of worth: knows what users think, and how many leave; no real policy does."""

from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.evaluation.oracles import LOOKED_AT_ROWS, OracleGreedy
from proactrec.policies.base import Decision, View
from proactrec.policies.ingredients import Ingredients
from proactrec.policies.plans import (
    Ahead,
    Goal,
    Plans,
    is_open,
    refused_gains,
    target_now,
    value_of,
    worth_now,
)
from proactrec.simulator.minds import Minds, Outlook
from proactrec.simulator.response import DistributionResponse
from proactrec.worth import Worth


class OracleWorthOptions(Options):
    """What it serves, and how far it looks."""

    worth: Worth = Field(Worth(), description="what it serves; how many leave, it knows")
    goes_on: bool = Field(False, description="guidance goes on after the target was accepted")
    n_candidates: int = Field(
        8, ge=1, le=10_000, description="steps, best by expected gain, whose next step is imagined"
    )
    n_considered: int = Field(
        64,
        ge=2,
        le=10_000,
        description="steps, best by expected gain, among which the next one is sought",
    )


class OracleWorth(OracleGreedy):
    """Weighs steps and the target as Foresight does, with true chances, gains and hazards.

    See :mod:`proactrec.policies.plans`: two rounds are imagined, those behind them extrapolated
    by the stopping rule. So it is no upper bound, but what is possible for who knows everything and
    looks two rounds ahead. Slots after the first are filled as if they were the first. Worlds with
    other laws (see :mod:`proactrec.simulator.laws`) it does not know, and refuses.
    """

    name: ClassVar[str] = "oracle-worth"
    options_type: ClassVar[type[Options]] = OracleWorthOptions

    def __init__(self, options: OracleWorthOptions | None = None) -> None:
        self.options = options or OracleWorthOptions()

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy with the run's options."""
        return cls(ingredients.policy_options(OracleWorthOptions))

    def reading(self, minds: Minds) -> Self:
        """The oracle with these users' minds.

        Raises
        ------
        InvalidInputError
            If the users follow laws that it does not know.
        """
        if names := minds.world.options.laws.names:
            raise InvalidInputError(
                f"{self.name} knows no laws of drift and response but the paper's, the world has "
                f"{', '.join(names)}; take oracle-lookahead"
            )
        return super().reading(minds)

    def decide(self, view: View) -> Decision:
        """The item with the highest expected worth."""
        minds, everything = self._minds_of(view), torch.arange(len(view.places))
        size = max(1, LOOKED_AT_ROWS // self.options.n_candidates)
        parts = [
            self._decided(minds.of(rows), view.of(rows))
            for rows in everything.to(view.places.device).split(size)
        ]
        return Decision(torch.cat([p.item_idx for p in parts]), torch.cat([p.score for p in parts]))

    def _decided(self, minds: Minds, view: View) -> Decision:
        now = minds.outlook()
        goal = self._goal(minds, view, now)
        plans = self._plans(minds, view, now, goal)
        leaving = minds.leaving.clone()
        leaving[:, 1].masked_fill_(minds.leaves, 1.0)
        ahead = Ahead(view.rounds_left, leaving, view.shows_again, discount=0)
        score, place = value_of(plans, goal, self.options.worth, ahead).max(1)
        item_idx = plans.column.gather(1, place[:, None])[:, 0]
        return Decision(item_idx.masked_fill(score == -torch.inf, 0), score)

    def _plans(self, minds: Minds, view: View, now: Outlook, goal: Goal) -> Plans:
        """The best steps by their expected gain now, then the target; what each leaves possible."""
        options, worth, n_rows = self.options, self.options.worth, len(minds.world.item_vectors)
        n_considered, target = min(options.n_considered, n_rows), view.target_idx[:, None]
        penalty = view.candidates.whole(n_rows)
        steps = self._gains(now, goal.price) + penalty
        if worth.target:
            everything = torch.arange(n_rows, device=steps.device)
            steps = steps.masked_fill((everything == target) & goal.is_open, -torch.inf)
        first, considered = steps.topk(n_considered, 1)
        n_steps = min(options.n_candidates, n_considered)
        column = considered[:, :n_steps]
        value = worth_now(worth, goal, first[:, :n_steps], now.accept_prob.gather(1, column))
        if worth.target:
            column = torch.cat([column, target], 1)
            gain = now.interest.gather(1, target) - now.now
            own = target_now(worth, now.accept_prob.gather(1, target), gain)
            may = goal.is_open & (penalty.gather(1, target) == 0)
            value = torch.cat([value, own.masked_fill(~may, -torch.inf)], 1)
        ours = column == target
        after = self._after(minds, goal, column, considered, first)
        return Plans(
            column,
            value,
            now.accept_prob.gather(1, column),
            now.interest.gather(1, column) - now.now,
            after if options.goes_on else after.masked_fill(ours, 0),
            refused_gains(first, column.shape[1]),
            ours & goal.is_open,
        )

    def _goal(self, minds: Minds, view: View, now: Outlook) -> Goal:
        response, worth = minds.world.response, self.options.worth
        assert isinstance(response, DistributionResponse)  # else there is no outlook
        is_waited = is_open(view.journeys, shows_again=view.shows_again) & (worth.target > 0)
        offset = torch.full_like(now.now, -response.slope * response.offset)
        return Goal.of(worth, is_waited, now.now, response.slope, offset)

    def _gains(self, outlook: Outlook, price: Tensor) -> Tensor:
        """Expected gain of items, acceptance itself as interest at its price."""
        return outlook.expected_gain + outlook.accept_prob * self.options.worth.step / price

    def _after(
        self, minds: Minds, goal: Goal, column: Tensor, considered: Tensor, first: Tensor
    ) -> Tensor:
        """Largest gain of a considered step (B, K) if an item is accepted: (B, n_plans)."""
        rows = torch.arange(len(column), device=column.device).repeat_interleave(column.shape[1])
        items, among = column.flatten()[:, None], considered[rows]
        outlook = minds.of(rows).accepting(items[:, 0]).outlook(among)
        may_not = (first[rows] == -torch.inf) | (among == items)
        gains = self._gains(outlook, goal.price[rows]).masked_fill(may_not, 0)
        return gains.max(1).values.clamp(min=0).view_as(column)
