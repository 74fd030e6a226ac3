r"""Foresight: shows what leads furthest over the rounds that are left, not in this one.

With belief and chances as in :mod:`proactrec.policies.belief`, the item shown is

.. math::
    \arg\max_i\; p_i (g_i + \omega + h V_i) + (1 - p_i) h V_{-i}, \qquad
    h = \sum_{k=0}^{n - 1} \delta^k

with the gain of interest :math:`g_i` if i is accepted; the worth :math:`\omega` of an accepted
item by itself; :math:`V_i`, the largest :math:`p_k (g_k + \omega)` of a next item from where the
user then stands (0 after the target: guidance ends); :math:`V_{-i}`, the largest of another item
after a refusal; n, the rounds left after this one. So an item that would gain more once the user
has come closer waits, the target above all: an item shown too early and refused is gone. Of items
that lead about as far, the one that users rather accept is shown. Interest is seen in several
:mod:`~proactrec.policies.views`, with shares that the answers teach.
"""

from pathlib import Path
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.graphau import GraphAUOptions, InterestVectors, fit_graphau
from proactrec.policies.base import (
    Decision,
    Evidence,
    Ingredients,
    Observation,
    Past,
    Policy,
    place_of,
)
from proactrec.policies.belief import AcceptanceModel, moved_by_answers
from proactrec.policies.views import Views, categories, companions
from proactrec.progress import Progress
from proactrec.rng import generator


class ForesightOptions(Options):
    """How far it looks, what it assumes, and which parts are on."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"optimism"})

    depth: Literal[1, 2] = Field(2, description="rounds looked at: this one, or the next as well")
    n_candidates: int = Field(6, ge=1, description="items whose consequences are imagined")
    n_considered: int = Field(
        32, ge=2, description="items, best by expected worth now, among which the next is sought"
    )
    discount: float = Field(0.8, ge=0, lt=1, description="worth of a round beside the one before")
    kept_share: float = Field(
        0.8, ge=0, le=1, description="assumed share of the old vector an accepted item leaves"
    )
    belief_variance: float = Field(
        0.02,
        ge=0,
        description="how much the vector of a history may be wrong; 0: answers only move",
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
    acceptance_worth: float = Field(
        0.02,
        ge=0,
        description="what an accepted item is worth by itself, in units of interest; 0: interest "
        "is all that counts",
    )
    prior_chance: float = Field(
        0.27, gt=0, lt=1, description="chance of an item without interest, before any answer"
    )
    n_models: int = Field(2, ge=1, description="interest models, each of another seed, to average")
    graphau: GraphAUOptions = GraphAUOptions()
    other_views: tuple[Literal["companions", "categories"], ...] = Field(
        ("companions", "categories"),
        description="what interest may go by besides: items that the same users have; the "
        "catalogue's categories, where there are any",
    )
    view_share: float = Field(
        0.1, gt=0, lt=0.5, description="of each other view in interest, before any answer"
    )
    view_dim: int = Field(64, ge=1, description="length of the other views' vectors")

    @model_validator(mode="after")
    def _every_view_once(self) -> Self:
        if len(set(self.other_views)) < len(self.other_views):
            raise InvalidInputError(
                f"other_views must hold every view once, got {', '.join(self.other_views)}"
            )
        return self


class Outlook(NamedTuple):
    """What showing items would bring, as believed; all of the same shape."""

    chance: Tensor  # of acceptance
    gain: Tensor  # of interest in the target, if accepted
    length: Tensor  # of the moved vector before it is made a unit vector


class Sight(NamedTuple):
    """Items as users see them, of unit vectors: inner products."""

    interest: Tensor  # (..., n), of users and items
    toward: Tensor  # (..., n), of targets and items
    now: Tensor  # (..., 1), of users and targets

    def of(self, item_idx: Tensor) -> "Sight":
        """Of these items only; of a row's own, (B, n)."""
        return Sight(self.interest.gather(1, item_idx), self.toward.gather(1, item_idx), self.now)


class Plans(NamedTuple):
    """Items to show now, C for each pair, and what they lead to; all (B, C)."""

    item_idx: Tensor
    now: Tensor  # expected worth of this round, -inf for what may not be shown
    chance: Tensor  # of acceptance
    after: Tensor  # largest expected worth of a next item once accepted; 0 after the target
    other: Tensor  # largest expected worth of another item once refused


class Foresight(Policy):
    """Plans on a belief of its own; it is never told the simulator's vectors or chances.

    Parameters
    ----------
    vectors : InterestVectors or Views
        Its own.
    dataset : Dataset
        Popularity of items, and histories.
    options : ForesightOptions, optional
    """

    name: ClassVar[str] = "foresight"
    options_type: ClassVar[type[Options]] = ForesightOptions
    uses_gpu: ClassVar[bool] = False
    encodes = "answered"

    def __init__(
        self,
        vectors: InterestVectors | Views,
        dataset: Dataset,
        options: ForesightOptions | None = None,
    ) -> None:
        self.options = options or ForesightOptions()
        self.views = vectors if isinstance(vectors, Views) else Views.beside(vectors)
        self._known, self._popularity = dataset.before("train"), _standard_popularity(dataset)

    @classmethod
    def build(cls, ingredients: Ingredients) -> Self:
        """The policy of a run, on interest models of its own seeds."""
        options = ingredients.policy_options(ForesightOptions)
        models = [_own_vectors(ingredients, options, n) for n in range(options.n_models)]
        users, items = (
            F.normalize(torch.cat(parts, 1), dim=1) for parts in zip(*models, strict=True)
        )
        others = [_other_view(ingredients, name, options) for name in options.other_views]
        known = [view for view in others if view is not None]
        views = Views.beside(InterestVectors(users, items), known, options.view_share)
        return cls(views, ingredients.dataset, options)

    def prior(self) -> AcceptanceModel:
        """The acceptance model before any answer: slopes by the spread of interest."""
        return AcceptanceModel.before_answers(
            len(self._popularity),
            slopes=(self.views.shares / self.views.deviations).tolist(),
            deviations=(1 / self.views.deviations).tolist(),
            prior_chance=self.options.prior_chance,
            strength=4.0,
            shrinkage=self.options.item_shrinkage or torch.inf,
        )

    def learned(self, knowledge: AcceptanceModel, evidence: Evidence) -> AcceptanceModel:
        """The acceptance model after one more round."""
        return knowledge.learned(evidence, self._popularity) if self.options.learns else knowledge

    def encode(self, past: Past) -> Tensor:
        """Where users are believed to stand (n, d)."""
        knowledge = past.knowledge or self.prior()
        return moved_by_answers(
            self.views.weighted(self._start(past), knowledge.shares),
            self._items(knowledge),
            past,
            knowledge.slope,
            knowledge.offsets(self._popularity),
            kept_share=self.options.kept_share,
            variance=self.options.belief_variance,
        )

    def chances(self, observation: Observation) -> Tensor:
        """Chance of every item, as believed: (B, n_items + 1)."""
        knowledge = observation.knowledge or self.prior()
        interest = observation.user_vectors @ self._items(knowledge).T
        return torch.sigmoid(knowledge.slope * interest + knowledge.offsets(self._popularity))

    def decide(self, observation: Observation) -> Decision:
        """The item with the highest expected worth over the rounds that are left."""
        score, candidates = self._candidates(observation)
        best, place = score.max(1)
        item_idx = candidates.gather(1, place[:, None])[:, 0]
        knowledge = observation.knowledge or self.prior()
        products = observation.user_vectors * self._items(knowledge, item_idx)
        foreseen = self.views.sums(products) / knowledge.shares
        return Decision(item_idx.masked_fill(best == -torch.inf, 0), best, foreseen)

    def weigh(self, observation: Observation) -> Tensor:
        """Value over the rounds that are left, of the candidates."""
        score, candidates = self._candidates(observation)
        return torch.full_like(observation.penalty, -torch.inf).scatter(1, candidates, score)

    def reasons(self, observation: Observation, item_idx: Tensor) -> dict[str, Tensor]:
        """Chance and gain as believed; cosines to the target now and if the item is accepted."""
        knowledge, column = observation.knowledge or self.prior(), item_idx[:, None]
        chances, sight = self.chances(observation), self._sight(observation).of(column)
        outlook = self._outlook(sight, knowledge.slope, knowledge.offsets(self._popularity)[column])
        return {
            "similarity_now": sight.now[:, 0],
            "similarity_after": (sight.now + outlook.gain)[:, 0],
            "item_to_target": sight.toward[:, 0],
            "chance": outlook.chance[:, 0],
            "gain": outlook.gain[:, 0],
            **place_of(item_idx, chances, observation.penalty),
        }

    def _start(self, past: Past) -> Tensor:
        r"""Where histories put users, in every view: (n, d).

        With items imagined away, :math:`n(c\, u - \sum_{gone} e_i)` with
        :math:`c = \sum_i u^\top e_i` over the history: the pull of each is taken back. For a vector
        that alignment alone put there, this is the fit without the items.
        """
        views = self.views
        start = views.user_vectors[past.user_idx]
        if past.gone is None:
            return start
        items = views.item_vectors
        users, row = np.unique(past.user_idx.cpu().numpy(), return_inverse=True)
        total = torch.stack([items[torch.from_numpy(self._known.of(u))].sum(0) for u in users])
        pull = views.sums(start * total[torch.from_numpy(row)])[:, views.of_column]
        return views.units(pull * start - items[past.gone].sum(1))

    def _items(self, knowledge: AcceptanceModel, item_idx: Tensor | None = None) -> Tensor:
        """Items as they are now believed to be seen, all (n_items + 1, d) by default: (..., d)."""
        items = self.views.item_vectors
        return self.views.weighted(items if item_idx is None else items[item_idx], knowledge.shares)

    def _sight(self, observation: Observation) -> Sight:
        items = self._items(observation.knowledge or self.prior())
        targets = observation.target_idx
        interest = observation.user_vectors @ items.T  # (B, n_items + 1)
        return Sight(interest, items[targets] @ items.T, interest.gather(1, targets[:, None]))

    def _candidates(self, observation: Observation) -> tuple[Tensor, Tensor]:
        """Value and item of every candidate: (B, n_candidates) each."""
        knowledge, sight = observation.knowledge or self.prior(), self._sight(observation)
        offsets = knowledge.offsets(self._popularity, self.options.optimism)
        outlook = self._outlook(sight, knowledge.slope, offsets)
        value = self._expected_worth(outlook) + observation.penalty
        left = torch.as_tensor(observation.rounds_left, device=value.device).expand(len(value))
        if self.options.depth == 2 and left.any():
            plans = self._plans(observation, sight, value, knowledge, offsets)
            return self.worth(plans, left), plans.item_idx
        everything = torch.arange(value.shape[1], device=value.device)
        return value, everything.expand_as(value)

    def _outlook(self, sight: Sight, slope: float, offsets: Tensor) -> Outlook:
        share = self.options.kept_share
        chance = torch.sigmoid(slope * sight.interest + offsets)
        length = share**2 + (1 - share) ** 2 + 2 * share * (1 - share) * sight.interest
        length = length.clamp(min=1e-12).sqrt()
        gain = (share * sight.now + (1 - share) * sight.toward) / length - sight.now
        return Outlook(chance, gain, length)

    def _expected_worth(self, outlook: Outlook) -> Tensor:
        """What showing items is worth in their round: gain of interest, and acceptance itself."""
        return outlook.chance * (outlook.gain + self.options.acceptance_worth)

    def _plans(
        self,
        observation: Observation,
        sight: Sight,
        value: Tensor,
        knowledge: AcceptanceModel,
        offsets: Tensor,
    ) -> Plans:
        """The best candidates by their expected worth now, and what each would leave possible."""
        options, share, slope = self.options, self.options.kept_share, knowledge.slope
        n_considered = min(options.n_considered, value.shape[1])
        n_candidates = min(options.n_candidates, n_considered)
        first, considered = value.topk(n_considered, dim=1)  # (B, K)
        candidates = considered[:, :n_candidates]  # (B, C)
        here = sight.of(considered)
        outlook = self._outlook(here, slope, offsets[considered])
        chance, gain, length = (part[:, :n_candidates, None] for part in outlook)
        near = self._items(knowledge, considered)  # (B, K, d)
        alike = near[:, :n_candidates] @ near.transpose(1, 2)  # (B, C, K)
        there = Sight(
            (share * here.interest[:, None] + (1 - share) * alike) / length,
            here.toward[:, None],
            here.now[:, None] + gain,
        )
        then = self._outlook(there, slope, offsets[considered][:, None])
        may_not = (first == -torch.inf)[:, None] | torch.eye(
            n_candidates, n_considered, dtype=torch.bool, device=value.device
        )
        after = self._expected_worth(then).masked_fill(may_not, 0).max(2).values.clamp(min=0)
        after.masked_fill_(candidates == observation.target_idx[:, None], 0)
        other = first[:, :1].repeat(1, n_candidates)
        other[:, 0] = first[:, 1] if n_considered > 1 else 0
        return Plans(
            candidates, first[:, :n_candidates], chance[:, :, 0], after, other.clamp(min=0)
        )

    def worth(self, plans: Plans, rounds_left: Tensor) -> Tensor:
        """Value of every plan over the rounds (B,) that are left: (B, C)."""
        ahead = plans.chance * plans.after + (1 - plans.chance) * plans.other
        horizon = _horizon(self.options.discount, rounds_left).to(ahead.dtype)
        return plans.now + horizon[:, None] * ahead


def _horizon(discount: float, n_rounds: Tensor) -> Tensor:
    """Worth of so many rounds, in rounds."""
    return (1 - discount ** n_rounds.double()) / (1 - discount)


def _own_vectors(ingredients: Ingredients, options: ForesightOptions, n: int) -> InterestVectors:
    """Interest vectors of the n-th own model, fitted once."""
    seed = int(generator(ingredients.seed, "foresight", n).integers(2**31))

    def fit(folder: Path, progress: Progress) -> None:
        vectors, _ = fit_graphau(
            ingredients.dataset,
            options.graphau,
            seed=seed,
            checkpoint=folder / "checkpoint.safetensors",
            progress=progress,
        )
        tensors = {"users": vectors.user_vectors, "items": vectors.item_vectors}
        save_file(tensors, folder / "vectors.safetensors")

    inputs = {"graphau": options.graphau.model_dump(), "own_seed": seed}
    saved = load_file(ingredients.fitted("belief", inputs, fit) / "vectors.safetensors")
    return ingredients.placed(InterestVectors(saved["users"], saved["items"]))


def _other_view(
    ingredients: Ingredients, name: str, options: ForesightOptions
) -> InterestVectors | None:
    """A view that needs no training; None where the catalogue gives none."""
    if name == "categories":
        return categories(ingredients.dataset, options.view_dim)
    return ingredients.placed(companions(ingredients.dataset, options.view_dim))


def _standard_popularity(dataset: Dataset) -> Tensor:
    """Log of an item's number of users, standardised; the mean for an item that nobody has yet."""
    counts = torch.from_numpy(dataset.train_counts)
    popularity, is_known = counts.float().clamp(min=1).log(), counts > 0
    known = popularity[is_known]
    standard = (popularity - known.mean()) / known.std().clamp(min=1e-6)
    return standard.masked_fill(~is_known, 0)
