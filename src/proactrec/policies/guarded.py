"""Any policy within guard rails: rails act through what may be shown, so it obeys unknowing.

A policy sees a penalty that also forbids what rails forbid. Where a round must be plain, one item
is left to it, so that a policy that learns notes the right one; a policy that answers with
something else (a planned path) is overruled.
"""

import threading
from collections import Counter
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Encoder
from proactrec.errors import InvalidInputError
from proactrec.policies.base import (
    Decision,
    EncoderPolicy,
    Learns,
    MovesUsers,
    Observation,
    Past,
    Policy,
    PredictsAcceptance,
    best_unseen,
    encoded_again,
)
from proactrec.policies.next_item import NextItem
from proactrec.policies.rails import Rails, RailsOptions
from proactrec.policies.shared_rails import SharedRails
from proactrec.types import IntArray

REASONS = (
    "opted_out",
    "not_chosen",
    "stopped",
    "paused",
    "budget_spent",
    "plain_share",
    "daily_cap",
    "nothing_passes",
)
COUNTED = (
    "decisions",
    *REASONS,
    "decided_again",
    "overruled",
    "items_forbidden",
)


def check_prediction(kind: type[Policy], options: RailsOptions) -> None:
    """Raise :class:`InvalidInputError` for a floor on acceptance that a policy does not predict."""
    if options.acceptance_floor is not None and not issubclass(kind, PredictsAcceptance):
        raise InvalidInputError(
            f"rails.acceptance_floor needs a policy that predicts acceptance, {kind.name} "
            "does not: use rails.relevance_floor"
        )


class Ruling(NamedTuple):
    """What rails say of a round."""

    seen: Observation  # what the policy is shown
    plain: Decision  # the most relevant item that may be shown
    is_plain: Tensor  # (B,): that item it is
    is_stopped: Tensor  # (B,): nothing is shown
    is_narrowed: Tensor  # (B,): fewer items may be shown than without rails
    reasons: dict[str, Tensor]  # (B,) each: why rounds are plain or stopped
    penalty: Tensor  # (B, n_items + 1): -inf for what may not even be shown as a plain item
    narrowed: Tensor  # the same of guided items; its own, whatever the policy does to what it saw


class Guarded(Policy):
    """A policy that stays within rails.

    Parameters
    ----------
    inner : Policy
        Guides, where it may.
    encoder : Encoder
        Says what is relevant.
    dataset : Dataset
    options : RailsOptions
    seed : int
        See :class:`Rails`.

    Raises
    ------
    InvalidInputError
        If there is a floor on acceptance and `inner` predicts none.
    """

    name: ClassVar[str] = "guarded"

    def __init__(
        self,
        inner: Policy,
        encoder: Encoder,
        dataset: Dataset,
        options: RailsOptions,
        *,
        seed: int = 0,
    ) -> None:
        check_prediction(type(inner), options)
        self.inner, self.encoder, self.rails = inner, encoder, Rails(options, dataset, seed=seed)
        self.options = options
        # A matter of padding only (D21): whoever stands on no encoder reads histories as usual.
        self.needs_encoder = inner.needs_encoder  # type: ignore[misc]
        self.history_length = max(inner.history_length, encoder.options.max_seq_len)
        self._is_shared = isinstance(inner, EncoderPolicy) and (
            type(inner).encode is EncoderPolicy.encode and inner.encoder is encoder
        )
        self.encodes = inner.encodes if inner.encodes in ("history", "pair") else "answered"
        nothing = torch.zeros(1, encoder.options.max_seq_len, dtype=torch.int64)
        self._n_relevance = encoder.encode(nothing.to(encoder.item_vectors.device)).shape[1]
        self._counts = Counter(dict.fromkeys(COUNTED, 0))
        self._lock = threading.Lock()  # blocks of pairs are played in threads
        self._shared: SharedRails | None = None
        self._dataset = dataset
        # What the rollout asks of some policies only.
        if isinstance(inner, Learns):
            self.prior, self.learned = inner.prior, inner.learned
        if isinstance(inner, MovesUsers):
            self.kept_share = self._inner_kept_share

    def notes(self) -> dict[str, Any]:
        """The policy's own, and what rails did until targets were accepted.

        Of all decisions: rounds made plain or stopped, by the first reason that holds; those made
        again because others had the item, or the turn; answers of the policy that were overruled;
        items that rails took away, summed over guided decisions.
        """
        shared = {} if self._shared is None else self._shared.notes()
        return {**self.inner.notes(), "rails": {**self._counts, **shared}}

    def usage(self) -> dict[str, Any]:
        """What the policy asked of others."""
        return self.inner.usage()

    def close(self) -> None:
        """Close the policy."""
        self.inner.close()

    def encode(self, past: Past) -> Tensor:
        """Vectors for relevance, then the policy's own: (n, d); only what changed is made anew."""
        if self._is_shared:
            return self.inner.encode(past)
        if past.vectors is None:
            return torch.cat([self._relevance(past), self._own(past)], 1)
        relevance, own = self._parted(past.vectors.clone())
        accepted = past.accepted[:, past.round - 2]
        again = encoded_again(self.inner, accepted, torch.ones_like(accepted))
        for part, rows, encode in ((relevance, accepted, self._relevance), (own, again, self._own)):
            if bool(rows.any()):
                inside = past._replace(vectors=own).of(rows)
                part[rows] = encode(inside)
        return torch.cat([relevance, own], 1)

    def shared(self, user_idx: IntArray) -> SharedRails | None:
        """The rails that span all campaigns of a run, of these users (n_pairs,), if there are any.

        Whoever plays the run asks them round by round and tells the policy as
        `observation.bounds`.
        """
        if self.options.spans_users:
            self._shared = SharedRails(self.options, self._dataset, user_idx)
        return self._shared

    def worth(self, observation: Observation) -> Tensor:
        """Room that guiding a pair has before the first round: (B,), -inf for who opted out.

        One minus the cosine of user and target in the encoder's space: what a campaign can gain
        ends where the user has arrived, and whoever is near has little left.
        """
        relevance, _ = self._parted(observation.user_vectors)
        targets = self.encoder.item_vectors[observation.target_idx]
        room = 1 - F.cosine_similarity(relevance, targets)
        is_out = self.rails.opted_out.to(room.device)[observation.user_idx]
        return room.masked_fill(is_out, -torch.inf)

    def decide(self, observation: Observation) -> Decision:
        """The policy's item, or the plain one, or none."""
        ruling = self.ruling(observation)
        return self.within(ruling, self.inner.decide(ruling.seen))

    def ruling(self, observation: Observation) -> Ruling:
        """What the policy may choose from, and where it has no choice."""
        past, rails, bounds = observation.past, self.rails, observation.bounds
        if past is None:
            raise InvalidInputError("rails need observation.past: what was shown before")
        if bounds is None and self.options.spans_users:
            raise InvalidInputError(
                "rails that span users need observation.bounds: what others leave, see shared()"
            )
        relevance, own = self._parted(observation.user_vectors)
        is_out = rails.opted_out.to(observation.penalty.device)[observation.user_idx]
        nobody = torch.zeros_like(is_out)
        is_left_out, is_held = (nobody, nobody) if bounds is None else bounds[:2]
        penalty = self._penalty(observation)
        scores = self.encoder.score(relevance)
        plain = best_unseen(scores.clone(), penalty)
        n_left = rails.rounds_left(past, int(observation.rounds_left))
        seen = observation._replace(user_vectors=own, rounds_left=n_left)
        narrowed = self._narrowed(seen, penalty, scores)
        passes_none = ~(narrowed == 0).any(1)
        course = rails.course(past)
        holds = (
            is_out,
            is_left_out,
            course.is_stopped & ~is_out & ~is_left_out,
            course.is_paused,
            course.is_spent,
            course.is_due,
            is_held,
            passes_none & (plain.item_idx > 0),
        )
        reasons = dict(zip(REASONS, holds, strict=True))
        is_plain = torch.stack(holds).any(0)
        taken = ((observation.penalty == 0) & (narrowed < 0)).sum(1)
        is_again = bounds is not None and bounds.is_again
        self._note(past, reasons, taken.masked_fill(is_plain, 0), is_again=is_again)
        left = torch.full_like(narrowed, -torch.inf).scatter_(1, plain.item_idx[:, None], 0)
        left[:, 0] = -torch.inf
        own_penalty = torch.where(is_plain[:, None], left, narrowed)
        return Ruling(
            seen._replace(penalty=own_penalty),
            plain,
            is_plain,
            reasons["stopped"],
            taken > 0,
            reasons,
            penalty,
            narrowed,
        )

    def within(self, ruling: Ruling, decision: Decision) -> Decision:
        """The policy's decision, overruled where it has to be.

        So it is wherever the policy, against its contract, wants what may not be shown.
        """
        asked = decision.item_idx
        is_wrong = (asked > 0) & (ruling.narrowed.gather(1, asked[:, None])[:, 0] < 0)
        is_wrong &= ~ruling.is_plain
        is_plain = ruling.is_plain | is_wrong | (ruling.is_narrowed & (asked == 0))
        item_idx = torch.where(is_plain, ruling.plain.item_idx, asked)
        overruled = (is_wrong | (item_idx != asked)) & ~ruling.is_stopped
        with self._lock:
            self._counts["overruled"] += int(overruled.sum())
        item_idx = item_idx.masked_fill(ruling.is_stopped, 0)
        score = torch.where(is_plain, ruling.plain.score, decision.score)
        return Decision(item_idx, score, decision.features, ~is_plain & (item_idx > 0))

    def _penalty(self, observation: Observation) -> Tensor:
        """Penalty of plain items, which hold for guided ones as well."""
        past, rails, bounds = observation.past, self.rails, observation.bounds
        assert past is not None
        device = observation.penalty.device
        is_free = rails.opted_out.to(device)[observation.user_idx]
        if bounds is not None:
            is_free = is_free | bounds.is_left_out
        may_not = rails.may_not(past, observation.penalty.shape[1]) & ~is_free[:, None]
        may_not = may_not | rails.is_forbidden.to(device)
        return observation.penalty.masked_fill(may_not, -torch.inf)

    def behind(
        self, observation: Observation, *, is_guided: bool
    ) -> tuple[Policy, Observation, str | None]:
        """Of one pair, in a round that was guided or not: who chose, what it saw, and by what rail.

        What others took is not fully known afterwards: where rails span users, a plain round that
        no other reason explains is put down to them.
        """
        ruling = self.ruling(observation)
        if is_guided:
            return self.inner, ruling.seen, None
        unknown = "others" if self.options.spans_users else "overruled"
        told = (n for n, holds in ruling.reasons.items() if n != "not_chosen" and bool(holds))
        rail = next(told, unknown)
        relevance, _ = self._parted(observation.user_vectors)
        plain = observation._replace(user_vectors=relevance, penalty=ruling.penalty)
        return NextItem(self.encoder), plain, rail

    def _narrowed(self, seen: Observation, penalty: Tensor, scores: Tensor) -> Tensor:
        """Penalty of guided items: nothing protected, under a floor, or that others have taken."""
        options = self.options
        may_not = self.rails.is_protected.to(penalty.device)[None]
        if seen.bounds is not None:
            may_not = may_not | seen.bounds.closed
        if options.relevance_floor is not None:
            may_not = may_not | ~_is_among_best(scores + penalty, options.relevance_floor)
        if options.acceptance_floor is not None:
            assert isinstance(self.inner, PredictsAcceptance)
            may_not = may_not | (self.inner.chances(seen) < options.acceptance_floor)
        return penalty.masked_fill(may_not, -torch.inf)

    def _note(
        self, past: Past, reasons: dict[str, Tensor], taken: Tensor, *, is_again: bool
    ) -> None:
        hit = past.accepted & (past.shown == past.target_idx[:, None])
        is_left = ~hit.any(1)
        counts = Counter({"decided_again" if is_again else "decisions": int(is_left.sum())})
        if not is_again:
            counts["items_forbidden"] = int((taken * is_left).sum())
        for name, holds in reasons.items():
            counts[name] = int((holds & is_left).sum())
            is_left = is_left & ~holds
        with self._lock:
            self._counts.update(counts)

    def _parted(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors for relevance, and the policy's own."""
        if self._is_shared:
            return vectors, vectors
        return vectors[:, : self._n_relevance], vectors[:, self._n_relevance :]

    def _relevance(self, past: Past) -> Tensor:
        return self.encoder.encode(past.item_seq[:, -self.encoder.options.max_seq_len :])

    def _own(self, past: Past) -> Tensor:
        short = past.item_seq[:, -self.inner.history_length :]
        return self.inner.encode(past._replace(item_seq=short))

    def _inner_kept_share(self, observation: Observation) -> Tensor:
        assert isinstance(self.inner, MovesUsers)
        _, own = self._parted(observation.user_vectors)
        return self.inner.kept_share(observation._replace(user_vectors=own))


def _is_among_best(scores: Tensor, share: float) -> Tensor:
    """Whether an item is among the best share of those above -inf, at least one: as `scores`."""
    n_all = (scores > -torch.inf).sum(1).double()
    n_best = (n_all * share - 1e-9).ceil().long().clamp(min=1)  # (B,); 30 × 0.1 is 3, not more
    best = scores.topk(int(n_best.max()), dim=1).values
    return scores >= best.gather(1, n_best[:, None] - 1)
