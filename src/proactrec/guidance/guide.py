"""The guide: a trained policy within rails, which says what to show to any journeys, and why.

Every host stands on :meth:`Guide.decide`: the rollout over simulated users, environments for
learners, campaigns with real ones. A guide never changes; what was learned makes another.
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.items import Items
from proactrec.errors import InvalidInputError
from proactrec.gpu import most_rows
from proactrec.guidance.course import Rails
from proactrec.guidance.decision import Ruled, joined
from proactrec.guidance.ledger import FREE, Ledger
from proactrec.guidance.offers import check_offered, only_offered
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.ruling import Ruling, first_reason, plain_items
from proactrec.journeys import OPEN_ENDED, Journeys, Rows
from proactrec.policies.base import (
    Candidates,
    EncoderPolicy,
    Learner,
    Policy,
    PredictsAcceptance,
    View,
    is_stale,
    what_may_be_shown,
)
from proactrec.policies.next_item import NextItem
from proactrec.ranking import BLOCK_USERS
from proactrec.retrieval.thresholds import least_of_best
from proactrec.threads import MapBlocks

BLOCK_SCORES = 1_500_000
"""Scores (journeys × items) of a block: masks and scores of a block take about 10 bytes each."""
MAX_BLOCK = 4096


class Places(NamedTuple):
    """Where users stand: a cache of what journeys say, for hosts that decide round by round."""

    own: Tensor  # (n, d), for the policy
    relevance: Tensor  # (n, d'), for the encoder that says what is relevant; the same if it may be

    def of(self, rows: Rows) -> "Places":
        """Of these journeys only."""
        if self.relevance is self.own:
            own = self.own[rows]
            return Places(own, own)
        return Places(self.own[rows], self.relevance[rows])


@dataclass(frozen=True, eq=False)
class Guide:
    """A trained policy with rails and catalogue.

    Parameters
    ----------
    policy : Policy
        Guides, where it may.
    items : Items
        What there is to show.
    rails : Rails, optional
    recommender : NextItem, optional
        What users get without guidance, and what is relevant; needed with rails.
    shows_again : bool
        Whether what was shown and refused may be shown again (D10).
    knows_end : bool
        Whether the policy is told how many rounds are left; else campaigns are open-ended.

    Raises
    ------
    InvalidInputError
        If rails have a floor on acceptance that the policy does not predict, or no recommender.
    """

    policy: Policy
    items: Items
    rails: Rails | None = None
    recommender: NextItem | None = None
    shows_again: bool = False
    knows_end: bool = True
    has_one_place: bool = field(init=False)

    def __post_init__(self) -> None:
        if self.rails is not None:
            check_prediction(type(self.policy), self.rails.options)
            if self.recommender is None:
                raise InvalidInputError("rails need a recommender, got None")
        policy, recommender = self.policy, self.recommender
        is_shared = recommender is None or (
            isinstance(policy, EncoderPolicy)
            and type(policy).place is EncoderPolicy.place
            and policy.encoder is recommender.encoder
        )
        object.__setattr__(self, "has_one_place", is_shared)

    @property
    def block_size(self) -> int:
        """Journeys that are decided at once, on the CPU."""
        return min(MAX_BLOCK, max(1, BLOCK_SCORES // (len(self.items) + 1)))

    @property
    def play_size(self) -> int:
        """Journeys whose users are simulated at once, on the CPU: some, however many items."""
        return max(self.block_size, min(MAX_BLOCK, BLOCK_USERS))

    def at_once(self, journeys: Journeys) -> int:
        """Journeys that are decided at once where these are."""
        return most_rows(len(self.items) + 1) if journeys.user.is_cuda else self.block_size

    def played_at_once(self, journeys: Journeys) -> int:
        """Journeys whose users are simulated at once where these are."""
        return max(self.at_once(journeys), self.play_size)

    @property
    def is_shared(self) -> bool:
        """Whether journeys bear on each other: all play a round before any plays the next."""
        spans = self.rails is not None and self.rails.options.spans_users
        return spans or isinstance(self.policy, Learner)

    @property
    def knowledge(self) -> Any:
        """What the policy knows from answers, if it learns."""
        return self.policy.knowledge if isinstance(self.policy, Learner) else None

    def knowing(self, knowledge: Any) -> Self:
        """The guide with other knowledge of its policy, if that learns."""
        assert isinstance(self.policy, Learner)
        return replace(self, policy=self.policy.knowing(knowledge))

    @torch.no_grad()
    def places(self, journeys: Journeys) -> Places:
        """Where users stand, made from their journeys."""
        own = self.policy.place(journeys)
        if self.has_one_place or self.recommender is None:
            return Places(own, own)
        return Places(own, self._relevance(journeys))

    @torch.no_grad()
    def places_of_users(self, journeys: Journeys) -> Places:
        """Places before any round by row of `users`, once for all targets.

        `own` is empty where targets matter.
        """
        users = journeys.users
        everybody = torch.arange(len(users.key), device=journeys.user.device)
        nowhere = torch.zeros_like(everybody)
        begun = Journeys.begun(users, everybody, nowhere, journeys.n_rounds)
        if not self.policy.knows_target:
            return self.places(begun)
        own = torch.empty(len(everybody), 0, device=everybody.device)
        return Places(own, own if self.has_one_place else self._relevance(begun))

    @torch.no_grad()
    def first_places(self, journeys: Journeys, of_users: Places | None = None) -> Places:
        """Places before any round; where targets don't matter, those :meth:`places_of_users`."""
        if of_users is None:
            of_users = self.places_of_users(journeys)
        if not self.policy.knows_target:
            return of_users.of(journeys.user)
        own = self.policy.place(journeys)
        return Places(own, own if self.has_one_place else of_users.relevance[journeys.user])

    @torch.no_grad()
    def renewed(self, places: Places, journeys: Journeys, accepted: Tensor) -> Places:
        """Places after a round, made anew in place where an answer made them stale.

        Parameters
        ----------
        journeys : Journeys
            After the round.
        accepted : bool tensor, shape (n,)
            How it was answered.
        """
        if self.policy.renewed_by != "never":
            last = journeys.shown.gather(1, (journeys.round - 2)[:, None])[:, 0] > 0
            stale = (is_stale(self.policy, accepted, last) & ~journeys.is_over).nonzero()[:, 0]
            if len(stale):  # a GPU is waited for: to make all anew takes longer
                places.own[stale] = self.policy.place(journeys.of(stale))
        if not self.has_one_place:
            moved = (accepted & ~journeys.is_over).nonzero()[:, 0]
            if len(moved):
                places.relevance[moved] = self._relevance(journeys.of(moved))
        return places

    @torch.no_grad()
    def decide(
        self,
        journeys: Journeys,
        ledger: Ledger = FREE,
        *,
        places: Places | None = None,
        without: Tensor | None = None,
        offered: Tensor | None = None,
        map_blocks: MapBlocks = map,
    ) -> Ruled:
        """What to show to every journey now, who chose it, and why.

        Parameters
        ----------
        ledger : Ledger
            Of rails that span journeys.
        places : Places, optional
            Of these journeys, if the host keeps them.
        without : int tensor, shape (n, k), optional
            What may not be shown now, for instance on the same page; 0: nothing.
        offered : int tensor, shape (n, k), optional
            All that may be shown now, in the caller's order, of which the first that may be is
            the plain item; 0: padding, and a row of zeros the whole catalogue. Who hands it in is
            told plain items even where no rail is on.
        map_blocks
            Decides blocks side by side.

        Raises
        ------
        InvalidInputError
            Without a ledger for rails that span users: nobody would hold them. Without rails for
            users who opted out: nobody would heed them. If `offered` has other rows or items.
        """
        if ledger is FREE and self.rails is not None and self.rails.options.spans_users:
            raise InvalidInputError("rails that span users need their ledger, got none")
        if self.rails is None and journeys.has_opted_out:
            raise InvalidInputError("users who opted out need a guide with rails, got none")
        if offered is not None:
            check_offered(offered, len(journeys.user), len(self.items))
        every = torch.arange(len(journeys.user), device=journeys.user.device)
        guide = self._bearing_on(journeys) if offered is None else self

        def decided(rows: Tensor) -> Ruled:
            @torch.no_grad()  # as it is outside: threads have a switch each
            def block(part: Rows) -> Ruled:
                some = journeys.of(part)
                at = guide.places(some) if places is None else places.of(part)
                page = (None if items is None else items[part] for items in (without, offered))
                return guide._decided(some, at, ledger, *page)

            parts = rows.split(self.at_once(journeys))
            return joined(map_blocks(block, parts), len(rows))

        ruled = decided(every)
        while ledger is not FREE and len(rows := (~ledger.take(journeys, ruled)).nonzero()[:, 0]):
            ruled = ruled.again(rows, decided(rows).masked(journeys.is_over[rows]))
        return ruled

    def view(
        self,
        journeys: Journeys,
        places: Places,
        without: Tensor | None = None,
        offered: Tensor | None = None,
    ) -> View:
        """What the policy would see without rails."""
        candidates = what_may_be_shown(
            journeys, len(self.items) + 1, shows_again=self.shows_again, without=without
        )
        if offered is not None:
            candidates = only_offered(candidates, offered)
        left = self._ahead(journeys).rounds_left
        return View(journeys, places.own, candidates, left, self.shows_again)

    def among(self, journeys: Journeys, own: Tensor, candidates: Candidates) -> View:
        """What the policy sees of these candidates, its places being `own`, within rails."""
        ahead = self._ahead(journeys)
        left = ahead.rounds_left if self.rails is None else self.rails.course(ahead).rounds_left
        return View(journeys, own, candidates, left, self.shows_again)

    def _ahead(self, journeys: Journeys) -> Journeys:
        """Journeys with as many rounds left as the policy is told."""
        if self.knows_end:
            return journeys
        return journeys._replace(rounds_left=torch.full_like(journeys.rounds_left, OPEN_ENDED))

    def room(self, journeys: Journeys, places: Places) -> Tensor:
        """Room that guiding a journey has before the first round: (n,), -inf for who opted out.

        One minus the cosine of user and target in the encoder's space: what guidance can gain ends
        where the user has arrived, and whoever is near has little left.
        """
        assert self.recommender is not None
        targets = self.recommender.encoder.item_vectors[journeys.target_idx]
        room = 1 - F.cosine_similarity(places.relevance, targets)
        return room.masked_fill(journeys.opted_out, -torch.inf)

    def ruling(
        self,
        journeys: Journeys,
        places: Places,
        ledger: Ledger,
        without: Tensor | None = None,
        offered: Tensor | None = None,
    ) -> Ruling:
        """What the policy may choose from within rails, and where it has no choice."""
        rails, recommender = self.rails, self.recommender
        assert rails is not None
        assert recommender is not None
        view = self.view(journeys, places, without, offered)
        bounds, course = ledger.bounds(journeys), rails.course(self._ahead(journeys))
        is_out = journeys.opted_out
        is_free = is_out | bounds.is_left_out
        may_not = rails.may_not(journeys, len(self.items) + 1) & ~is_free[:, None]
        may_not = may_not | rails.is_forbidden.to(may_not.device)
        penalty = view.candidates.penalty.masked_fill(may_not, -torch.inf)
        seen = view._replace(rounds_left=course.rounds_left)
        at = view._replace(places=places.relevance, candidates=Candidates(penalty))
        whole = rails.options.relevance_floor is not None
        plain, scores = plain_items(recommender, at, offered, whole=whole)
        narrowed = self._narrowed(seen, penalty, scores, bounds.closed)
        passes_none = ~(narrowed == 0).any(1)
        reason = first_reason(
            (
                is_out,
                bounds.is_left_out,
                course.is_stopped & ~is_free,
                course.is_paused,
                course.is_spent,
                course.is_due,
                bounds.is_held,
                passes_none & (plain.item_idx > 0),
            )
        )
        n_forbidden = ((view.candidates.penalty == 0) & (narrowed < 0)).sum(1)
        only = torch.full_like(narrowed, -torch.inf).scatter_(1, plain.item_idx[:, None], 0)
        only[:, 0] = -torch.inf
        own = torch.where((reason >= 0)[:, None], only, narrowed)
        return Ruling(
            seen._replace(candidates=Candidates(own)),
            plain,
            reason,
            n_forbidden,
            Candidates(penalty),
            Candidates(narrowed),
        )

    def _bearing_on(self, journeys: Journeys) -> "Guide":
        """The guide without its rails where none is on and nobody opted out: half the work."""
        rails = self.rails
        if rails is None or rails.options.is_on or journeys.has_opted_out:
            return self
        return replace(self, rails=None, recommender=None)

    def _decided(
        self, journeys: Journeys, places: Places, ledger: Ledger, *page: Tensor | None
    ) -> Ruled:
        """Decisions, `page` being what is shown beside, and what is offered."""
        if self.rails is None:
            ruled = Ruled.free(self.policy.decide(self.view(journeys, places, *page)))
        else:
            ruling = self.ruling(journeys, places, ledger, *page)
            ruled = ruling.settle(self.policy.decide(ruling.view))
        return ruled.masked(journeys.is_over)

    def _relevance(self, journeys: Journeys) -> Tensor:
        """Places for the recommender's encoder."""
        assert self.recommender is not None
        encoder = self.recommender.encoder
        # The code's padding (D21) is a matter of policies that stand on an encoder.
        side = journeys.users.padding if self.policy.needs_encoder else "left"
        return encoder.encode(journeys.sequence(encoder.options.max_seq_len, side))

    def _narrowed(
        self, seen: View, penalty: Tensor, scores: Tensor | None, closed: Tensor | None
    ) -> Tensor:
        """Penalty of guided items: nothing protected, under a floor, or that others have taken."""
        assert self.rails is not None
        options = self.rails.options
        may_not = self.rails.is_protected.to(penalty.device)[None]
        if closed is not None:
            may_not = may_not | closed
        if options.relevance_floor is not None:
            assert scores is not None
            among = scores + penalty
            may_not = may_not | (among < least_of_best(among, options.relevance_floor))
        if options.acceptance_floor is not None:
            assert isinstance(self.policy, PredictsAcceptance)
            may_not = may_not | (self.policy.chances(seen) < options.acceptance_floor)
        return penalty.masked_fill(may_not, -torch.inf)


def check_prediction(kind: type[Policy], options: RailsOptions) -> None:
    """Raise :class:`InvalidInputError` for a floor on acceptance that a policy does not predict."""
    if options.acceptance_floor is not None and not issubclass(kind, PredictsAcceptance):
        raise InvalidInputError(
            f"rails.acceptance_floor needs a policy that predicts acceptance, {kind.name} "
            "does not: use rails.relevance_floor"
        )
