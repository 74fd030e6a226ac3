"""Foresight: shows what is worth most before users leave, not what gains most in this round.

With belief and chances as in :mod:`proactrec.policies.belief`, the steps that gain most now and the
target are weighed by what they are worth and what they leave possible, as
:mod:`proactrec.policies.plans` says: a step that would gain more once the user has come closer
waits, and the target waits as long as that gains more than it risks
(:mod:`proactrec.policies.stopping`): an item shown too early and refused is gone, and users leave.
Of items that lead about as far, the one that users rather accept is shown. Interest is seen in
several :mod:`~proactrec.policies.views`, with shares that the answers teach.
"""

import copy
from functools import partial
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from proactrec.config import MOST_DIM, Options
from proactrec.data.dataset import Histories
from proactrec.errors import InvalidInputError
from proactrec.graphau import GraphAUOptions, InterestVectors
from proactrec.journeys import Journeys
from proactrec.policies.base import Decision, Evidence, Policy, View, place_of
from proactrec.policies.belief import AcceptanceModel, standard_popularity
from proactrec.policies.ingredients import Ingredients
from proactrec.policies.laws import SHARED, Law, LawName, bounds_of, prior_of
from proactrec.policies.narrowing import floats, narrowed
from proactrec.policies.plans import (
    Ahead,
    Goal,
    Plans,
    is_open,
    is_target,
    refused_gains,
    target_now,
    value_of,
    waiting_of,
    worth_now,
)
from proactrec.policies.sight import Chances, Sight, Sought
from proactrec.policies.standing import Standing
from proactrec.policies.starts import Starts
from proactrec.policies.views import Views, fitted_views
from proactrec.retrieval.search import search_in
from proactrec.types import IntArray
from proactrec.worth import Worth

ENDING_DISCOUNT = 0.8


class ForesightOptions(Options):
    """How far it looks, what it assumes, and which parts are on."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"optimism", "targets_follow", "told"})

    depth: Literal[1, 2] = Field(2, description="rounds looked at: this one, or the next as well")
    n_candidates: int = Field(6, ge=1, le=1000, description="items whose consequences are imagined")
    n_considered: int = Field(
        32, ge=2, le=10_000, description="items, best by worth now, among which the next is sought"
    )
    discount: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="worth of a round beside the one before, after the next; 0.8 by default where "
        "guidance ends with the target, so that little does not end it, and else 0",
    )
    kept_share: float = Field(
        0.8, ge=0, le=1, description="assumed share of the old vector an accepted item leaves"
    )
    belief_variance: float = Field(
        0.01, ge=0, description="how wrong a history's vector may be, as thought before any answer"
    )
    laws: tuple[LawName, ...] = Field(
        SHARED,
        description="what is learned of how answers move users: kept, returning, refusal, "
        "diminishing, receptivity of each; surprise: of how wrong histories are; of responses: "
        "bias of users, appeal of items; all but receptivity by default",
    )
    told: dict[LawName, float] = Field(
        {}, description="strengths of some of these laws, where they are known and not learned"
    )
    learns: bool = Field(True, description="learn from all users' answers when they accept")
    item_shrinkage: float | None = Field(
        20.0, gt=0, description="prior weight of item effects in the chance; None: none"
    )
    optimism: float = Field(
        0.0,
        ge=0,
        description="exploration: posterior deviations by which an item effect is taken to be "
        "better than believed",
    )
    worth: Worth = Field(Worth(), description="what it serves, and how many users leave")
    goes_on: bool = Field(
        False, description="guidance goes on after the target was accepted, for interest in it"
    )
    targets_follow: bool = Field(
        False, description="another target takes the place of one that is settled, as of a goal"
    )
    longest_wait: int = Field(
        64, ge=0, le=10_000, description="rounds ahead among which the target's best one is sought"
    )
    prior_chance: float = Field(
        0.27, gt=0, lt=1, description="chance of an item without interest, before any answer"
    )
    n_models: int = Field(4, ge=1, le=64, description="interest models, of other seeds, to average")
    model_dim: int = Field(128, ge=1, le=MOST_DIM, description="length of their vectors together")
    graphau: GraphAUOptions = GraphAUOptions()
    other_views: tuple[Literal["companions", "categories"], ...] = Field(
        ("companions", "categories"),
        description="what interest may go by besides: items that the same users have; the "
        "catalogue's categories, where there are any",
    )
    view_share: float = Field(
        0.1, gt=0, lt=0.5, description="of each other view in interest, before any answer"
    )
    view_dim: int = Field(64, ge=1, le=MOST_DIM, description="length of the other views' vectors")

    @model_validator(mode="after")
    def _everything_once(self) -> Self:
        both = ("other_views", "view", self.other_views), ("laws", "law", self.laws)
        for name, what, given in both:
            if len(set(given)) < len(given):
                raise InvalidInputError(
                    f"{name} must hold every {what} once, got {', '.join(given)}"
                )
        if unused := ", ".join(sorted(set(self.told) - set(self.laws))):
            raise InvalidInputError(f"told must be among the laws, got {unused}")
        return self

    @property
    def law(self) -> Law:
        """Strengths before any answer."""
        appeal = 1 / (self.item_shrinkage or torch.inf) if "appeal" in self.laws else 0.0
        law = Law(self.kept_share, appeal=appeal, surprise=self.belief_variance)
        return law._replace(**self.told)


class Foresight(Policy):
    """Plans on a belief of its own; it is never told the simulator's vectors or chances.

    Parameters
    ----------
    vectors : InterestVectors or Views
        Its own: rows of the known users, and of all items. It decides where they are.
    train_counts : int array, shape (n_items + 1,)
        Users who have an item.
    known : Histories
        Of the known users, as the vectors were fitted on them.
    options : ForesightOptions, optional
    """

    name: ClassVar[str] = "foresight"
    options_type: ClassVar[type[Options]] = ForesightOptions
    renewed_by = "answer"

    def __init__(
        self,
        vectors: InterestVectors | Views,
        train_counts: IntArray,
        known: Histories,
        options: ForesightOptions | None = None,
    ) -> None:
        self.options = options or ForesightOptions()
        self.views = vectors if isinstance(vectors, Views) else Views.beside(vectors)
        self._starts = Starts(self.views, known)
        self._popularity = standard_popularity(train_counts)
        self._search = search_in(self.views.item_vectors)
        self._know(self.prior())

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run, on interest models of its own seeds."""
        options = ingredients.policy_options(ForesightOptions)
        views = fitted_views(
            ingredients,
            options.graphau,
            options.n_models,
            options.other_views,
            share=options.view_share,
            sizes=(options.model_dim, options.view_dim),
        )
        return cls(views, ingredients.items.train_counts, ingredients.known, options)

    def prior(self) -> AcceptanceModel:
        """The acceptance model before any answer: slopes by the spread of interest."""
        return AcceptanceModel.before_answers(
            len(self._popularity),
            slopes=(self.views.shares / self.views.deviations).tolist(),
            deviations=(1 / self.views.deviations).tolist(),
            prior_chance=self.options.prior_chance,
            strength=4.0,
            shrinkage=self.options.item_shrinkage or torch.inf,
            leaving=self.options.worth.both_leaving,
            laws=prior_of(self.options.law, self.options.laws, self.options.told),
        )

    def learned(self, knowledge: AcceptanceModel, evidence: Evidence) -> AcceptanceModel:
        """The acceptance model after more answers."""
        evidence = evidence.cpu()  # where knowledge is
        if self.options.worth.learns_leaving:
            knowledge = knowledge.seen_again(evidence)
        if not self.options.learns:
            return knowledge
        effects = self._bounded(knowledge).effects if "appeal" in self.options.laws else None
        return knowledge.learned(evidence, self._popularity, effects)

    def knowing(self, knowledge: AcceptanceModel) -> Self:
        """The policy with this acceptance model."""
        other = copy.copy(self)
        other._know(knowledge)
        return other

    def _know(self, knowledge: AcceptanceModel) -> None:
        self.knowledge, vectors, options = knowledge, self.views.item_vectors, self.options
        knowledge = self._bounded(knowledge)
        self._users = Standing(self.views, self._starts, knowledge, options.law, options.laws)
        self._slope, self._leaving = knowledge.slope, knowledge.leaving.to(vectors)
        self._offsets, self._hopeful_offsets = (
            knowledge.offsets(self._popularity, optimism).to(vectors.device)
            for optimism in (0.0, options.optimism)
        )

    def _bounded(self, knowledge: AcceptanceModel) -> AcceptanceModel:
        """The model with strengths of laws that can be, and what they say of items' effects."""
        laws = self.options.laws
        knowledge = knowledge.within(*bounds_of(laws))
        if "appeal" not in laws:
            return knowledge
        return knowledge._replace(shrinkage=1 / float(knowledge.strengths[laws.index("appeal")]))

    def place(self, journeys: Journeys) -> Tensor:
        """Where users are believed to stand (n, d), and what else is believed of them behind it."""
        return self._users.of(journeys, self._offsets)

    def chances(self, view: View) -> Tensor:
        """Chance of every candidate, as believed: (n, C)."""
        return self._users.sight(view, self._offsets).chances(self._slope)

    def decide(self, view: View) -> Decision:
        """The item with the highest expected worth over the rounds that are left."""
        view = self._narrowed(view)
        score, column = self._weighed(view)
        best, place = score.max(1)
        item_idx = view.candidates.items(column.gather(1, place[:, None]))[:, 0]
        features = self._users.foreseen(view, item_idx)
        return Decision(item_idx.masked_fill(best == -torch.inf, 0), best, features)

    def promise(self, view: View) -> Tensor:
        """Expected worth of the rounds that are left: (n,)."""
        return self._weighed(self._narrowed(view))[0].max(1).values

    def weigh(self, view: View) -> Tensor:
        """Value over the rounds that are left, of the candidates."""
        score, column = self._weighed(view)
        nothing = torch.full_like(view.candidates.penalty, -torch.inf)
        return nothing.scatter_reduce(1, column, score, "amax")

    def reasons(self, view: View, item_idx: Tensor) -> dict[str, Tensor]:
        """Chance and gain as believed; cosines to the target now and if the item is accepted.

        And what comes of waiting with the target: :class:`~proactrec.policies.plans.Waiting`.
        """
        sight = self._users.sight(view, self._offsets)
        own = sight.of(item_idx[:, None])
        outlook, chances = own.outlook(self._slope), sight.chances(self._slope)
        return {
            "similarity_now": own.now[:, 0],
            "similarity_after": (own.now + outlook.gain)[:, 0],
            "item_to_target": own.toward[:, 0],
            "chance": outlook.chance[:, 0],
            "gain": outlook.gain[:, 0],
            **place_of(item_idx, chances, view.candidates.penalty),
            **self._waiting(view),
        }

    def _waiting(self, view: View) -> dict[str, Tensor]:
        """Figures of :class:`Waiting`; none where only interest counts, or no wait is weighed."""
        worth = self.options.worth
        if not worth.target or self.options.depth == 1:
            return {}
        sight, goal, _, gains = self._prospects(view)
        plans = self._plans(view, sight, goal, gains)
        return waiting_of(plans, goal, worth, self._ahead(view))._asdict()

    def _weighed(self, view: View) -> tuple[Tensor, Tensor]:
        """Value and column of every item that is weighed: (n, n_weighed) each."""
        (sight, goal, outlook, gains), worth = self._prospects(view), self.options.worth
        if self._looks_ahead(view):
            plans = self._plans(view, sight, goal, gains)
            return self.worth(plans, goal, view), plans.column
        value = worth_now(worth, goal, gains, outlook.chance)
        if worth.target:
            own = is_target(view, value.shape[1]) & goal.is_open
            value = torch.where(own, value + worth.target * outlook.chance, value)
        everything = torch.arange(value.shape[1], device=value.device)
        return value, everything.expand_as(value)

    def _looks_ahead(self, view: View) -> bool:
        return self.options.depth == 2 and bool(view.rounds_left.any())

    def _narrowed(self, view: View) -> View:
        """The view of the steps and the target that are weighed, if the catalogue is large."""
        if self._search is None or view.candidates.item_idx is not None:
            return view
        worth, ahead, users = self.options.worth, self._looks_ahead(view), self._users
        places, targets, bias = users.places(view), users.items[view.target_idx], users.bias(view)
        now = (places * targets).sum(1, keepdim=True)
        price = self._goal(view, now).price if ahead else torch.ones_like(now)
        sought = Sought(
            self.views.weighted(places, users.shares),
            self.views.weighted(targets, users.shares),
            view.target_idx,
            now[:, 0],
            self._hopeful_offsets,
            slope=self._slope,
            kept_share=np.broadcast_to(users.steps(view).kept, now.shape)[:, 0],
            interest=1.0 if ahead else worth.interest,
            step=worth.step / price[:, 0],
            n_steps=self.options.n_considered if ahead else 1,
            bias=floats(bias[:, 0]) if isinstance(bias, Tensor) else None,
        )
        return narrowed(view, partial(sought.find, self._search))

    def _prospects(self, view: View) -> tuple[Sight, Goal, Chances, Tensor]:
        """All candidates as hoped for, the target, and expected gains (n, C)."""
        sight = self._users.sight(view, self._hopeful_offsets)
        goal, outlook = self._goal(view, sight.now), sight.outlook(self._slope)
        gains = outlook.expected(self.options.worth.step / goal.price) + view.candidates.penalty
        return sight, goal, outlook, gains

    def _goal(self, view: View, now: Tensor) -> Goal:
        """The target of every journey."""
        worth, offset = self.options.worth, self._hopeful_offsets[view.target_idx][:, None]
        is_waited = torch.full_like(now, worth.target > 0, dtype=torch.bool)
        if worth.target:
            is_waited &= is_open(view.journeys, shows_again=view.shows_again)
        return Goal.of(worth, is_waited, now, self._slope, offset + self._users.bias(view))

    def _plans(self, view: View, sight: Sight, goal: Goal, gains: Tensor) -> Plans:
        """The best steps by their expected gain now, then the target; what each leaves possible."""
        options, worth = self.options, self.options.worth
        n_considered = min(options.n_considered, gains.shape[1])
        n_steps = min(options.n_candidates, n_considered)
        own = is_target(view, gains.shape[1]) & goal.is_open if worth.target else None
        steps = gains if own is None else gains.masked_fill(own, -torch.inf)
        first, considered = steps.topk(n_considered, dim=1)  # (n, K)
        column = considered[:, :n_steps]
        if own is not None:
            column = torch.cat([column, own.int().argmax(1, keepdim=True)], 1)
        then = sight.of(column).outlook(self._slope)
        now = worth_now(worth, goal, first[:, :n_steps], then.chance[:, :n_steps])
        if own is not None:
            accepted = target_now(worth, then.chance[:, -1:], then.gain[:, -1:])
            if then.lost is not None:
                refused = (1 - then.chance[:, -1:]) * then.lost[:, -1:]
                accepted = accepted + worth.interest * refused
            may = own.any(1, keepdim=True) & (gains.gather(1, column[:, -1:]) > -torch.inf)
            now = torch.cat([now, accepted.masked_fill(~may, -torch.inf)], 1)
        items = view.candidates.items(column)
        ours = items == view.target_idx[:, None]
        after = self._gains_after(view, sight, goal, column, considered, then)
        after = after.masked_fill((first == -torch.inf)[:, None], 0).max(2).values.clamp(min=0)
        if not options.goes_on:
            after = after.masked_fill(ours, 0)
        other = refused_gains(first, column.shape[1])
        is_last = ours & goal.is_open
        return Plans(column, now, then.chance, then.gain, after, other, is_last, then.lost)

    def _gains_after(
        self,
        view: View,
        sight: Sight,
        goal: Goal,
        column: Tensor,
        considered: Tensor,
        then: Chances,
    ) -> Tensor:
        """Expected gain of next steps (n, K) once a plan was accepted: (n, n_plans, K)."""
        near = self._users.items[view.candidates.items(considered)]  # (n, K, d)
        alike = self._users.items[view.candidates.items(column)] @ near.transpose(1, 2)
        there = sight.of(considered).after(alike, then)
        gains = there.outlook(self._slope).expected(self.options.worth.step / goal.price[:, None])
        return gains.masked_fill(column[:, :, None] == considered[:, None], 0)

    def worth(self, plans: Plans, goal: Goal, view: View) -> Tensor:
        """Value of every plan over the rounds that are left: (n, n_plans)."""
        return value_of(plans, goal, self.options.worth, self._ahead(view))

    def _ahead(self, view: View) -> Ahead:
        options, discount = self.options, self.options.discount
        if discount is None:
            discount = 0.0 if options.goes_on else ENDING_DISCOUNT
        left, leaving, wait = view.rounds_left, self._leaving[None], options.longest_wait
        return Ahead(left, leaving, view.shows_again, discount, wait, options.targets_follow)
