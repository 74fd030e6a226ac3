"""Ceilings of interest that read the simulated users' minds; no real policy can.

Both serve interest alone, of this round or of two; see :mod:`.oracle_of_worth` for all of worth.
"""

import copy
from typing import ClassVar, Protocol, Self, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.policies.base import Decision, Policy, View
from proactrec.policies.ingredients import Ingredients
from proactrec.simulator.minds import Minds

LOOKED_AT_ROWS = 1024
"""Imagined users scored at once."""


@runtime_checkable
class MovesUsers(Protocol):
    """A policy whose own coefficient moves users, where the world lets it (official)."""

    def kept_share(self, view: View) -> Tensor:
        """Share of a user's old vector that an accepted item leaves: (n,)."""
        ...


@runtime_checkable
class ReadsMinds(Protocol):
    """A policy that is shown the users' hidden state: an upper reference, never a competitor."""

    def reading(self, minds: Minds) -> Policy:
        """The policy that decides knowing what users think now, by the number of journeys."""
        ...


class OracleGreedy(Policy):
    r"""Shows :math:`\arg\max_i\, p(u, i)\,(e_t^\top e_{u'} - e_t^\top e_u)`, with true values."""

    name: ClassVar[str] = "oracle-greedy"
    renewed_by = "never"
    _minds: Minds | None = None

    def reading(self, minds: Minds) -> Self:
        """The oracle with these users' minds."""
        other = copy.copy(self)
        other._minds = minds
        return other

    def decide(self, view: View) -> Decision:
        """The item with the highest expected gain in interest."""
        gain = self._minds_of(view).outlook().expected_gain
        return view.candidates.best(view.candidates.scores(gain))

    def _minds_of(self, view: View) -> Minds:
        """What the users of these journeys think.

        Raises
        ------
        InvalidInputError
            Without the environment there is nothing to read.
        """
        if self._minds is None:
            raise InvalidInputError(
                f"{self.name} can only play in a simulation, it reads hidden users"
            )
        return self._minds.of(view.journeys.number)


class LookaheadOptions(Options):
    """How far the oracle looks."""

    n_candidates: int = Field(
        8, ge=1, le=10_000, description="items, best by expected gain, whose next step is imagined"
    )


class OracleLookahead(OracleGreedy):
    """Adds the best expected gain of the next round, after acceptance and after refusal.

    Of the `n_candidates` items with the highest expected gain, and one more, it shows the one with
    the highest :math:`p_i (g_i + V(u')) + (1 - p_i) V(u)`, where V is the highest expected gain of
    what may be shown next: 0 once the target was accepted, in the last round, and once the user
    left. Where users move without acceptance, V(u) is that of the user moved by the refusal, and
    may be a loss. Slots after the first are filled as if they were the first.
    """

    name: ClassVar[str] = "oracle-lookahead"
    options_type: ClassVar[type[Options]] = LookaheadOptions

    def __init__(self, options: LookaheadOptions | None = None) -> None:
        self.options = options or LookaheadOptions()

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy with the run's options."""
        return cls(ingredients.policy_options(LookaheadOptions))

    def decide(self, view: View) -> Decision:
        """The item with the highest expected gain over two rounds."""
        minds = self._minds_of(view)
        if minds.rounds_left == 1:
            return super().decide(view)
        rows = torch.arange(len(view.places), device=view.places.device)
        penalty = view.candidates.whole(len(minds.world.item_vectors))
        parts = [
            self._decide_rows(minds.of(part), penalty[part])
            for part in rows.split(max(1, LOOKED_AT_ROWS // self.options.n_candidates))
        ]
        return Decision(torch.cat([p.item_idx for p in parts]), torch.cat([p.score for p in parts]))

    def _decide_rows(self, minds: Minds, penalty: Tensor) -> Decision:
        now = minds.outlook()
        gain = now.expected_gain + penalty  # (B, n_items + 1)
        n_candidates = min(self.options.n_candidates + 1, gain.shape[1])
        best, candidates = gain.topk(n_candidates, dim=1)  # one more: V(u) if the best is refused
        after_refusal = self._after_refusal(minds, best, candidates, penalty)
        after_refusal.masked_fill_(minds.leaves[:, None], 0)
        prob = now.accept_prob.gather(1, candidates)
        after_acceptance = self._after_acceptance(minds, candidates, penalty)
        value = best + prob * after_acceptance + (1 - prob) * after_refusal
        value = value.masked_fill(best == -torch.inf, -torch.inf)
        score, place = value.max(1)
        item_idx = candidates.gather(1, place[:, None])[:, 0]
        return Decision(item_idx.masked_fill(score == -torch.inf, 0), score)

    def _after_acceptance(self, minds: Minds, candidates: Tensor, penalty: Tensor) -> Tensor:
        """Highest expected gain of the next round if a candidate is accepted: (B, n_candidates)."""
        rows, items = _row_by_row(candidates)
        best = _best_next(minds.of(rows).accepting(items), items, penalty[rows])
        options = minds.world.options
        if options.after_success != "continue" or not options.laws.moves_by_time:
            best = best.masked_fill(items == minds.target_idx[rows], 0)  # done, or without effect
        return best.view_as(candidates)

    def _after_refusal(
        self, minds: Minds, best: Tensor, candidates: Tensor, penalty: Tensor
    ) -> Tensor:
        """The same if a candidate is refused, the `best` of which stand first."""
        if minds.world.options.laws.moves_without_acceptance:
            rows, items = _row_by_row(candidates)
            imagined = minds.of(rows).refusing(items)
            return _best_next(imagined, items, penalty[rows]).view_as(candidates)
        after = best[:, :1].expand_as(best).clone()
        after[:, 0] = best[:, 1] if best.shape[1] > 1 else 0
        return after.clamp(min=0)


def _row_by_row(candidates: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and items of all candidates (B, K), one after the other: (B * K,) each."""
    rows = torch.arange(len(candidates), device=candidates.device)
    return rows.repeat_interleave(candidates.shape[1]), candidates.flatten()


def _best_next(imagined: Minds, items: Tensor, penalty: Tensor) -> Tensor:
    """Highest expected gain of a round in which these items (B,) are not shown again: (B,)."""
    gain = imagined.outlook().expected_gain.add_(penalty)
    gain.scatter_(1, items[:, None], -torch.inf)
    best = gain.max(1).values
    if imagined.world.options.laws.moves_without_acceptance:  # then no round is without effect
        return best.masked_fill(best == -torch.inf, 0)
    return best.clamp(min=0)
