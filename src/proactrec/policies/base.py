"""What a policy sees and what it answers; the choice of the best item that may be shown."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor

from proactrec.config import Options
from proactrec.encoders.base import Encoder
from proactrec.journeys import REFUSED, Journeys, Rows
from proactrec.policies.ingredients import Ingredients
from proactrec.ranking import best_item

PLANNED_ROWS = 512
"""Journeys planned at once: bounds the memory of their penalties."""


class Decision(NamedTuple):
    """What to show, the score that decided, what a learner wants to keep of it; what it is of."""

    item_idx: Tensor  # (n,), 0 where nothing is left to be shown
    score: Tensor  # (n,)
    features: Tensor | None = None  # (n, n_features)
    among: Tensor | None = None  # (n, k), items that might have been drawn, best first; 0: none


class Candidates(NamedTuple):
    """What may be shown to each journey: a few items, or the whole catalogue."""

    penalty: Tensor  # (n, C): -inf for what may not be shown (and padding), else 0
    item_idx: Tensor | None = None  # (n, C); None: column c is item c, of n_items + 1

    def of(self, rows: Rows) -> "Candidates":
        """Of these journeys only."""
        return Candidates(
            self.penalty[rows], None if self.item_idx is None else self.item_idx[rows]
        )

    def whole(self, n_rows: int) -> Tensor:
        """The penalty of all items: (n, n_rows), `n_rows` being the number of items + 1."""
        if self.item_idx is None:
            return self.penalty
        nothing = torch.full((len(self.penalty), n_rows), -torch.inf, device=self.penalty.device)
        return nothing.scatter(1, self.item_idx, self.penalty)

    def scores(self, everything: Tensor) -> Tensor:
        """Scores of the candidates (n, C), from those of all items (n, n_items + 1)."""
        return everything if self.item_idx is None else everything.gather(1, self.item_idx)

    def items(self, column: Tensor) -> Tensor:
        """The items in these columns (n, k) of the candidates."""
        return column if self.item_idx is None else self.item_idx.gather(1, column)

    def allow(self, item_idx: Tensor) -> Tensor:
        """Whether items (n, k) may be shown: as `item_idx`; padding never may."""
        if self.item_idx is None:
            return self.penalty.gather(1, item_idx) == 0
        is_open = (self.item_idx * (self.penalty == 0))[:, None]  # (n, 1, C)
        return (is_open == item_idx[:, :, None]).any(2) & (item_idx > 0)

    def best(self, scores: Tensor) -> Decision:
        """The best that may be shown; `scores` (n, C) of the candidates is overwritten."""
        column = best_item(scores.add_(self.penalty))[:, None]
        score = scores.gather(1, column)[:, 0]
        item_idx = self.items(column)[:, 0]
        return Decision(item_idx.masked_fill(score == -torch.inf, 0), score)


def what_may_be_shown(
    journeys: Journeys, n_rows: int, *, shows_again: bool = False, without: Tensor | None = None
) -> Candidates:
    """The catalogue without what users have, what was shown to them, and `without` (n, k).

    Parameters
    ----------
    n_rows : int
        Number of items + 1.
    shows_again : bool
        Whether what was refused may be shown again.
    """
    penalty = journeys.penalties(n_rows)
    shown = [journeys.shown * (journeys.answer != REFUSED)]  # an answer may be to come
    if not shows_again:
        shown = [journeys.shown, journeys.also_shown]
    for items in (*shown, *([] if without is None else [without])):
        penalty.scatter_(1, items, -torch.inf)  # nothing shown: padding once more
    return Candidates(penalty)


class View(NamedTuple):
    """What a policy decides by: journeys, where their users stand, and what may be shown."""

    journeys: Journeys
    places: Tensor  # (n, d), what the policy's own `place` made
    candidates: Candidates
    rounds_left: Tensor  # (n,), guided ones after this; within rails in fractions
    shows_again: bool = False  # what was refused

    def of(self, rows: Rows) -> "View":
        """Of these journeys only."""
        return View(
            self.journeys.of(rows),
            self.places[rows],
            self.candidates.of(rows),
            self.rounds_left[rows],
            self.shows_again,
        )

    @property
    def target_idx(self) -> Tensor:
        """Targets: (n,)."""
        return self.journeys.target_idx


class Evidence(NamedTuple):
    """How all users answered, for a policy that learns; rows are those shown and answered."""

    item_idx: Tensor  # (n,)
    features: Tensor  # (n, n_features), of the policy's own decisions
    accepted: Tensor  # (n,) bool
    stayed: Tensor | None = None  # (n,) bool: came back for the next round; None: nobody knows

    def cpu(self) -> Self:
        """On the CPU."""
        return self._replace(**{n: x.cpu() for n, x in self._asdict().items() if x is not None})


Renewal = Literal["never", "acceptance", "refusal", "answer"]
"""What makes a place stale, so that it must be made again."""
KnowledgeT = TypeVar("KnowledgeT")


@runtime_checkable
class Learner(Protocol[KnowledgeT]):
    """A policy that learns from the answers of all users.

    Knowledge is a value; a policy knows one and never changes.
    """

    knowledge: KnowledgeT

    def prior(self) -> KnowledgeT:
        """What is known before any answer."""
        ...

    def learned(self, knowledge: KnowledgeT, evidence: Evidence) -> KnowledgeT:
        """What is known after more answers."""
        ...

    def knowing(self, knowledge: KnowledgeT) -> "Policy":
        """The policy with this knowledge, prepared once for all that depends on it."""
        ...


@runtime_checkable
class PredictsAcceptance(Protocol):
    """A policy that says how likely items are to be accepted."""

    def chances(self, view: View) -> Tensor:
        """Chance of every candidate, as believed: (n, C)."""
        ...


@runtime_checkable
class Promises(Protocol):
    """A policy that says what leading users to their targets is worth, in one unit for all."""

    def promise(self, view: View) -> Tensor:
        """Expected worth of the rounds that are left: (n,); -inf where nothing may be shown."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A policy that says what its choices stand on, of the whole catalogue."""

    def weigh(self, view: View) -> Tensor:
        """What it chooses by: (n, n_items + 1), the largest is shown; -inf: not in question."""
        ...

    def reasons(self, view: View, item_idx: Tensor) -> dict[str, Tensor]:
        """Figures (n,) of the items (n,), by name, as the policy has them; see `wording`.

        NaN where one does not apply.
        """
        ...


class NoOptions(Options):
    """Of policies that have nothing to choose."""


class Policy(ABC):
    """Says where users stand, and what to show them: pure, row by row.

    It never sees the simulated user's hidden vectors, and holds no state of a run. Without an
    override of :meth:`place` a user is a vector without entries.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the same options come to decide otherwise."""
    options_type: ClassVar[type[Options]] = NoOptions
    needs_encoder: ClassVar[bool] = False
    guides: ClassVar[bool] = True  # False: it pays no heed to targets
    uses_gpu: ClassVar[bool] = True  # False: a run with it stays on the CPU
    renewed_by: Renewal = "acceptance"
    knows_target: bool = False
    """Whether a place depends on the target; if not, it is made once for all targets of a user."""

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run."""
        return cls()

    @classmethod
    def fingerprint(cls, options: Any) -> dict[str, Any]:
        """What of the options decides what is shown."""
        content: dict[str, Any] = options.model_dump(mode="json")
        return content

    def notes(self) -> dict[str, Any]:
        """What happened inside while it guided, for results."""
        return {}

    def usage(self) -> dict[str, Any]:
        """What was asked of others, and paid."""
        return {}

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Let go of what it holds; guidance is over."""

    def place(self, journeys: Journeys) -> Tensor:
        """Where users stand now: (n, d), a fold over their answers so far."""
        return torch.empty(len(journeys.user), 0, device=journeys.user.device)

    @abstractmethod
    def decide(self, view: View) -> Decision:
        """The item to show to every journey."""


def is_stale(policy: Policy, accepted: Tensor, is_shown: Tensor) -> Tensor:
    """Whether a place must be made again after a round, by its answer: (n,)."""
    found: dict[Renewal, Tensor] = {
        "never": torch.zeros_like(accepted),
        "acceptance": accepted,
        "refusal": is_shown & ~accepted,
        "answer": is_shown,
    }
    return found[policy.renewed_by]


class EncoderPolicy(Policy):
    """Base of the policies that stand on a sequence encoder."""

    needs_encoder: ClassVar[bool] = True

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy on the run's encoder."""
        return cls(ingredients.encoder)

    def place(self, journeys: Journeys) -> Tensor:
        """User vectors of the encoder."""
        length, side = self.encoder.options.max_seq_len, journeys.users.padding
        return self.encoder.encode(journeys.sequence(length, side))


def planned(journeys: Journeys, plan: Callable[[Journeys], Tensor]) -> Tensor:
    """Paths as places, floats (n, n_rounds): items that `plan` gives journeys before round 1."""
    begun = journeys.before(1)
    starts = range(0, len(begun.user), PLANNED_ROWS)
    return torch.cat([plan(begun.of(slice(at, at + PLANNED_ROWS))) for at in starts]).float()


def next_planned(view: View) -> Decision:
    """The round's item of a path (n, n_rounds) that a policy planned as its place.

    One that may not be shown gives way to the next of the path that may; after the end of a path
    comes its beginning. Planned items carry no score: it is 0, or -inf where nothing may be shown.
    """
    n_rounds = view.places.shape[1]
    order = torch.arange(n_rounds, device=view.places.device) + view.journeys.round[:, None] - 1
    path = view.places.long().gather(1, order % n_rounds)
    is_allowed = view.candidates.allow(path)
    first = is_allowed.int().argmax(1, keepdim=True)
    score = torch.zeros(len(path), device=path.device)
    score.masked_fill_(~is_allowed.any(1), -torch.inf)
    return Decision(path.gather(1, first)[:, 0].masked_fill(score == -torch.inf, 0), score)


def place_of(item_idx: Tensor, scores: Tensor, penalty: Tensor) -> dict[str, Tensor]:
    """Place of items (n,) among those that may be shown, 1 = highest score, and their number.

    Of the whole catalogue: `scores` and `penalty` are (n, n_items + 1).
    """
    is_allowed = penalty == 0
    is_better = scores > scores.gather(1, item_idx[:, None])
    return {"place": (is_better & is_allowed).sum(1) + 1, "n_allowed": is_allowed.sum(1)}
