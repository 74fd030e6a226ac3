"""What a policy sees and what it answers; the choice of the best item that may be shown."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Encoder
from proactrec.graphau import InterestVectors
from proactrec.intents import Intents
from proactrec.progress import Progress
from proactrec.ranking import best_item

OptionsT = TypeVar("OptionsT", bound=Options)


class Bounds(NamedTuple):
    """What rails that span users leave to a block of pairs in a round."""

    is_left_out: Tensor  # (B,): never guided, others are
    is_held: Tensor  # (B,): not guided in this round
    closed: Tensor  # (n_items + 1,), or by pair: others have these items, nobody else is led there
    is_again: bool = False  # the pair has decided in this round before

    def of(self, rows: Tensor) -> "Bounds":
        """Of these pairs only."""
        closed = self.closed if self.closed.dim() == 1 else self.closed[rows]
        return self._replace(
            is_left_out=self.is_left_out[rows], is_held=self.is_held[rows], closed=closed
        )


class Observation(NamedTuple):
    """What a real recommender would know of a block of (user, target) pairs in one round."""

    user_idx: Tensor  # (B,)
    target_idx: Tensor  # (B,)
    user_vectors: Tensor  # (B, d), what the policy's own `encode` made
    penalty: Tensor  # (B, n_items + 1): -inf for what may not be shown (and padding), else 0
    round: int  # 1 = the first
    rounds_left: int | Tensor = 0  # after this one; by pair (B,) and in fractions within rails
    knowledge: Any = None  # of a policy that learns
    past: "Past | None" = None  # what was shown and accepted before; None: nobody kept it
    bounds: Bounds | None = None  # of rails that span users

    def of(self, rows: Tensor) -> "Observation":
        """Of these pairs only."""
        names = ("user_idx", "target_idx", "user_vectors", "penalty")
        left = self.rounds_left
        return self._replace(
            rounds_left=left[rows] if isinstance(left, Tensor) else left,
            past=None if self.past is None else self.past.of(rows),
            bounds=None if self.bounds is None else self.bounds.of(rows),
            **{name: getattr(self, name)[rows] for name in names},
        )


class Decision(NamedTuple):
    """What to show, the score that decided, and what a policy that learns wants to keep of it."""

    item_idx: Tensor  # (B,), 0 where nothing is left to be shown
    score: Tensor  # (B,)
    features: Tensor | None = None  # (B, n_features)
    is_guided: Tensor | None = None  # (B,), within rails: the policy chose, not a rail


class Evidence(NamedTuple):
    """How all users answered in one round, for a policy that learns; rows are those shown."""

    item_idx: Tensor  # (n,)
    features: Tensor  # (n, n_features), of the policy's own decisions
    accepted: Tensor  # (n,) bool


class Past(NamedTuple):
    """What has happened to n pairs before a round, for a policy to encode."""

    item_seq: Tensor  # (n, history_length), accepted items, newest last, padded with 0
    user_idx: Tensor  # (n,)
    target_idx: Tensor  # (n,)
    shown: Tensor  # (n, n_rounds), by round; 0 where nothing was, and in rounds to come
    accepted: Tensor  # (n, n_rounds) bool
    round: int  # that comes next; 1 = the first
    knowledge: Any = None  # of a policy that learns
    vectors: Tensor | None = None  # (n, d), what `encode` made before; None: it is the first time
    guided: Tensor | None = None  # (n, n_rounds) bool: the policy chose; None without rails
    gone: Tensor | None = None  # (n, k), train items imagined away, of which `item_seq` is free

    def of(self, rows: Tensor) -> "Past":
        """Of these pairs only."""
        names = ("item_seq", "user_idx", "target_idx", "shown", "accepted")
        parts = {name: getattr(self, name)[rows] for name in names}
        for name in ("vectors", "guided", "gone"):
            part = getattr(self, name)
            parts[name] = None if part is None else part[rows]
        return self._replace(**parts)

    def accepting(self, item_idx: Tensor) -> "Past":
        """The history of every pair as if its user accepted an item (n,) now."""
        return self._replace(item_seq=torch.cat([self.item_seq[:, 1:], item_idx[:, None]], 1))

    @property
    def refused(self) -> Tensor:
        """What was shown and not accepted, by round, 0 elsewhere: (n, n_rounds)."""
        return self.shown * ~self.accepted


Encodes = Literal["history", "pair", "once", "refused", "answered"]
"""What a policy encodes, and when: a user's history, after every acceptance; a history and a
target, after every acceptance; those at the start only; those after every refusal; those after
every answer."""


@runtime_checkable
class MovesUsers(Protocol):
    """A policy whose own coefficient moves users, where the world lets it (official)."""

    def kept_share(self, observation: Observation) -> Tensor:
        """Share of a user's old vector that an accepted item leaves: (B,)."""
        ...


@runtime_checkable
class Learns(Protocol):
    """A policy that learns from the answers of all users, round by round.

    All pairs play a round before anybody plays the next. Knowledge is a value: the policy itself
    keeps no state.
    """

    def prior(self) -> Any:
        """What it knows before the first round."""
        ...

    def learned(self, knowledge: Any, evidence: Evidence) -> Any:
        """What it knows after a round."""
        ...


@runtime_checkable
class PredictsAcceptance(Protocol):
    """A policy that says how likely every item is to be accepted."""

    def chances(self, observation: Observation) -> Tensor:
        """Chance of every item, as believed: (B, n_items + 1)."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A policy that says what its choices stand on.

    It is asked with an `observation.past`. One that does not read `item_seq` alone must heed
    `past.gone` when it encodes, so that what a user's items do can be told by leaving them out.
    """

    def weigh(self, observation: Observation) -> Tensor:
        """What it chooses by: (B, n_items + 1), the largest is shown; -inf: not in question."""
        ...

    def reasons(self, observation: Observation, item_idx: Tensor) -> dict[str, Tensor]:
        """Figures (B,) of the items (B,), by name, as the policy has them; see `wording`."""
        ...


class Ingredients(Protocol):
    """What policies are built from; each is made when it is first asked for."""

    @property
    def dataset(self) -> Dataset:
        """Histories and catalogue."""
        ...

    @property
    def encoder(self) -> Encoder:
        """The trained sequence encoder."""
        ...

    @property
    def intents(self) -> Intents:
        """Intents in the encoder's space."""
        ...

    @property
    def seed(self) -> int:
        """Decides everything random."""
        ...

    @property
    def item_vectors(self) -> Tensor:
        """Interest vectors of items (n_items + 1, d), where models of one's own may start."""
        ...

    def fitted(
        self, kind: str, inputs: Mapping[str, Any], fit: Callable[[Path, Progress], None]
    ) -> Path:
        """Folder of a model of one's own; `fit` fills it once for a data set, seed and `inputs`.

        What it keeps as `checkpoint.safetensors` there is found again after a kill.
        """
        ...

    def placed(self, vectors: InterestVectors) -> InterestVectors:
        """The vectors of a model of one's own, with cold items where their content suggests."""
        ...

    @property
    def answers(self) -> Path:
        """File of a language model's answers, which runs share."""
        ...

    @property
    def progress(self) -> Progress:
        """Told how far long work is."""
        ...

    def policy_options(self, kind: type[OptionsT]) -> OptionsT:
        """The policy's own options: the protocol's, where it has some, with the run's changes."""
        ...


class NoOptions(Options):
    """Of policies that have nothing to choose."""


class Policy(ABC):
    """Chooses the next item of every (user, target) pair.

    It never sees the simulated user's hidden vectors. Policies hold no state of a run: the
    rollout keeps what they encoded and asks :meth:`encode` again only for histories that changed.
    Without an override a user is a vector without entries.
    """

    name: ClassVar[str]
    options_type: ClassVar[type[Options]] = NoOptions
    needs_encoder: ClassVar[bool] = False
    guides: ClassVar[bool] = True  # False: it pays no heed to targets
    uses_gpu: ClassVar[bool] = True  # False: a run with it stays on the CPU
    encodes: Encodes = "history"
    history_length = 1

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run."""
        return cls()

    @classmethod
    def decides(cls, options: Any) -> dict[str, Any]:
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

    def encode(self, past: Past) -> Tensor:
        """Vectors (n, d) of pairs.

        A policy that encodes "history" must read nothing but user and history: it is asked once
        for all targets of a user.
        """
        return torch.empty(len(past.item_seq), 0, device=past.item_seq.device)

    @abstractmethod
    def decide(self, observation: Observation) -> Decision:
        """The item to show to every pair."""


def encoded_again(policy: Policy, accepted: Tensor, is_shown: Tensor) -> Tensor:
    """Whether a policy encodes a pair again after a round, by its answer: (n,)."""
    again = {
        "once": torch.zeros_like(accepted),
        "refused": is_shown & ~accepted,
        "answered": is_shown,
    }
    return again.get(policy.encodes, accepted)


class EncoderPolicy(Policy):
    """Base of the policies that stand on a sequence encoder."""

    needs_encoder: ClassVar[bool] = True

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.history_length = encoder.options.max_seq_len

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy on the run's encoder."""
        return cls(ingredients.encoder)

    def encode(self, past: Past) -> Tensor:
        """User vectors of the encoder."""
        return self.encoder.encode(past.item_seq)


def next_planned(observation: Observation) -> Decision:
    """The round's item of a path (B, n_rounds) that a policy planned as its `user_vectors`.

    One that may not be shown gives way to the next of the path that may; after the end of a path
    comes its beginning. Planned items carry no score: it is 0, or -inf where nothing may be shown.
    """
    path = observation.user_vectors.long().roll(1 - observation.round, 1)
    is_allowed = observation.penalty.gather(1, path) == 0  # padding never is
    first = is_allowed.int().argmax(1, keepdim=True)
    score = observation.penalty.new_zeros(len(path))
    score.masked_fill_(~is_allowed.any(1), -torch.inf)
    item_idx = path.gather(1, first)[:, 0]
    return Decision(item_idx.masked_fill(score == -torch.inf, 0), score)


def place_of(item_idx: Tensor, scores: Tensor, penalty: Tensor) -> dict[str, Tensor]:
    """Place of items (B,) among those that may be shown, 1 = highest score, and their number."""
    is_allowed = penalty == 0
    is_better = scores > scores.gather(1, item_idx[:, None])
    return {"place": (is_better & is_allowed).sum(1) + 1, "n_allowed": is_allowed.sum(1)}


def best_unseen(scores: Tensor, penalty: Tensor) -> Decision:
    """The best item that may be shown; `scores` (B, n_items + 1) is overwritten."""
    item_idx = best_item(scores.add_(penalty))
    score = scores.gather(1, item_idx[:, None])[:, 0]
    return Decision(item_idx.masked_fill(score == -torch.inf, 0), score)
