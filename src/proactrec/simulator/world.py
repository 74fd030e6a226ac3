"""What the simulated users of one run share: vectors, click model, luck, and how they differ."""

from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.gpu import Held
from proactrec.rng import generator, uniforms
from proactrec.simulator.boredom import carried_categories, share_alike
from proactrec.simulator.drifting import normal_of
from proactrec.simulator.dynamics import Receptivity, kept_share_per_user
from proactrec.simulator.laws import LawOptions
from proactrec.simulator.leanings import LUCK_OF_DAYS, Leanings
from proactrec.simulator.response import (
    N_RECENT,
    DistributionResponse,
    Response,
    Shown,
    WorldName,
    calibrated_response,
)
from proactrec.types import IntArray
from proactrec.worth import Share

LUCK_OF_LEAVING = 1 << 20
"""Slot of the numbers by which users leave: no slate is as long."""
MOST_LEAVING = 0.95
OFFICIAL_STREAM_SEED = 114514


class WorldOptions(Options):
    """What kind of users there are."""

    later_fields: ClassVar[frozenset[str]] = frozenset(
        {
            "boredom",
            "patience",
            "n_slots",
            "position_decay",
            "leaving",
            "leaving_refused",
            "frailty",
            "laws",
            "concentration",
        }
    )

    world: WorldName = Field("medium", description="how strongly interest decides acceptance")
    mean_accept: float = Field(
        0.5, gt=0, lt=1, description="mean acceptance of users' real next items"
    )
    receptivity: Receptivity = Field(
        "constant",
        description="share of the old vector an accepted item leaves: the same for all, drawn per "
        "user, by arousal in the environment's space, or what the policy says (official only)",
    )
    kept_share: float = Field(0.8, ge=0, le=1, description="that share (mean of it, per user)")
    concentration: float = Field(
        20.0,
        gt=0,
        description="sum of both parameters of the Beta that a share per user is drawn from: the "
        "less, the more users differ",
    )
    n_curious: int = Field(10, ge=1, le=10_000, description="favourites behind `arousal`")
    owners: Literal["drop", "zero"] = Field(
        "drop", description="users who have the target: left out, or never moved and counted as 0"
    )
    after_success: Literal["stop", "freeze", "continue"] = Field(
        "stop",
        description="after the target was accepted: no more rounds, rounds without effect, or "
        "rounds like any other",
    )
    noise: Literal["none", "per_target"] = Field(
        "none", description="percentage added to the acceptance probability, one per target (D16)"
    )
    random_numbers: Literal["per_pair", "shared_stream"] = Field(
        "per_pair", description="luck per (seed, user, target, round), or per (user, round) (D17)"
    )
    boredom: float = Field(
        0.0,
        ge=0,
        description="what the logit of acceptance loses if all of a user's newest 20 items carry "
        "one of the shown item's categories; in proportion if some do",
    )
    patience: int | None = Field(
        None, ge=1, description="rounds without acceptance, in a row, after which a user leaves"
    )
    leaving: Share = Field(0.0, description="chance that a user leaves after a round")
    leaving_refused: Share | None = Field(
        None, description="the same after a refusal; the same as after an acceptance by default"
    )
    frailty: float = Field(
        0.0,
        ge=0,
        description="variance of a Gamma factor of each user's chances of leaving, of mean 1",
    )
    n_slots: int = Field(
        1,
        ge=1,
        le=10_000,
        description="items shown in a round; a user takes the first one accepted",
    )
    position_decay: float = Field(
        1.0, gt=0, le=1, description="chance that slot k, from 0, is looked at: this to the k"
    )
    laws: LawOptions = Field(LawOptions(), description="laws of drift and response, all off")

    @model_validator(mode="after")
    def _slots_have_luck(self) -> Self:
        if self.n_slots > 1 and self.random_numbers != "per_pair":
            raise InvalidInputError(
                f"n_slots must be 1 where random_numbers is shared_stream, got {self.n_slots}"
            )
        if self.n_slots > 1 and (self.laws.reactance or self.laws.exposure):
            raise InvalidInputError(
                f"n_slots must be 1 where laws have reactance or exposure, got {self.n_slots}"
            )
        return self


class World:
    """Everything that the simulated users of one run share; builds environments for blocks of them.

    Parameters
    ----------
    user_vectors : float tensor, shape (n_users, d)
        Interest at the start, unit rows.
    item_vectors : float tensor, shape (n_items + 1, d)
        Unit rows; row 0 is padding.
    targets : int array, shape (n_targets,)
        All targets of the run, in order: noise and streams of `official` go by that order.
    seed : int
        One seed, one luck, whatever is simulated together.
    response : Response, optional
        Click model; by default the calibrated one that `options` name.

    Raises
    ------
    InvalidInputError
        If users may be bored, but there are no categories, or the click model knows no boredom;
        if it is another than `distribution`, and laws of response are on.
    """

    def __init__(
        self,
        dataset: Dataset,
        user_vectors: Tensor,
        item_vectors: Tensor,
        targets: IntArray,
        options: WorldOptions | None = None,
        *,
        seed: int = 0,
        device: str = "cpu",
        response: Response | None = None,
    ) -> None:
        self.options = options or WorldOptions()
        self.seed, self.device = seed, torch.device(device)
        self.user_vectors = user_vectors.to(self.device)
        self.item_vectors = item_vectors.to(self.device)
        self.owned = dataset.before("train")
        is_on_gpu = self.item_vectors.is_cuda
        self.held = Held.of(self.owned, self.device) if is_on_gpu else None
        self.response = response or calibrated_response(
            dataset,
            user_vectors,
            item_vectors,
            world=self.options.world,
            mean_accept=self.options.mean_accept,
        )
        self.recent = torch.from_numpy(self.owned.padded(N_RECENT)).to(self.device)  # newest last
        self._target_order = {int(item): order for order, item in enumerate(targets)}
        self._noise = _official_noise(len(targets)) if self.options.noise == "per_target" else None
        shares = torch.full((dataset.n_users,), self.options.kept_share)
        if self.options.receptivity == "per-user":
            shares = kept_share_per_user(
                dataset.n_users,
                mean=self.options.kept_share,
                seed=seed,
                concentration=self.options.concentration,
            )
        self.kept_shares = shares.to(self.device)  # where they do not change over rounds
        self._frailty = torch.ones(dataset.n_users, dtype=torch.float64, device=self.device)
        if self.options.frailty:
            spread, rng = self.options.frailty, generator(seed, "frailty")
            drawn = rng.gamma(1 / spread, spread, dataset.n_users)
            self._frailty = torch.from_numpy(drawn).to(self.device)
        self._carried = self._boring_categories(dataset) if self.options.boredom else None
        self.leanings = self._leanings() if self.options.laws.changes_answers else None

    def luck(
        self,
        user_idx: IntArray,
        target_idx: IntArray,
        n_rounds: int,
        *,
        slot: int = 0,
        seeds: IntArray | None = None,
    ) -> Tensor:
        """Uniform numbers that decide acceptance in a slot: (n_pairs, n_rounds).

        `seeds` (n_pairs,) stand for the world's where luck is per pair.
        """
        if self.options.random_numbers == "per_pair":
            seed = self.seed if seeds is None else seeds
            drawn = uniforms(seed, user_idx, target_idx, n_rounds, slot=slot)
            return torch.from_numpy(drawn).to(self.device)
        rng = torch.Generator().manual_seed(OFFICIAL_STREAM_SEED + self.seed)
        n_users = len(self.user_vectors)
        stream = torch.stack(
            [torch.rand(n_users, dtype=torch.float64, generator=rng) for _ in range(n_rounds)], 1
        )
        return stream[torch.from_numpy(user_idx)].to(self.device)

    def leaving(self, users: Tensor) -> Tensor:
        """Chances that users (B,) leave after an acceptance and after a refusal: (B, 2)."""
        options = self.options
        refused = options.leaving if options.leaving_refused is None else options.leaving_refused
        chances = torch.tensor([options.leaving, refused], dtype=torch.float64, device=self.device)
        return (self._frailty[users, None] * chances).clamp(max=MOST_LEAVING)

    def luck_of_leaving(
        self,
        user_idx: IntArray,
        target_idx: IntArray,
        n_rounds: int,
        *,
        seeds: IntArray | None = None,
    ) -> Tensor | None:
        """Uniform numbers by which users leave, as :meth:`luck`; None where nobody does."""
        if not (self.options.leaving or self.options.leaving_refused):
            return None
        seed = self.seed if seeds is None else seeds
        drawn = uniforms(seed, user_idx, target_idx, n_rounds, slot=LUCK_OF_LEAVING)
        return torch.from_numpy(drawn).to(self.device)

    def day(
        self,
        user_idx: IntArray,
        target_idx: IntArray,
        n_rounds: int,
        *,
        seeds: IntArray | None = None,
    ) -> Tensor:
        """What logits of acceptance gain by the day: (n_pairs, n_rounds), by luck of its own.

        One column of zeros where every day is the same.
        """
        if not self.options.laws.day:
            return torch.zeros(len(user_idx), 1, dtype=torch.float64, device=self.device)
        seed = self.seed if seeds is None else seeds
        drawn = uniforms(seed, user_idx, target_idx, n_rounds, slot=LUCK_OF_DAYS)
        return self.options.laws.day * normal_of(torch.from_numpy(drawn)).to(self.device)

    def answered(self, shown: Shown, day: Tensor) -> Tensor:
        """Chance that users accept what they were shown, on such a day (B,): (B,)."""
        if self.leanings is None:
            return self.response.respond(shown)
        return self.leanings.accept_prob(
            self._known_response("laws of response need"),
            shown.interest.double(),
            shown.noise,
            shown.boredom,
            users=shown.user_idx,
            items=shown.item_idx,
            day=day,
        )

    def noise(self, target_idx: IntArray) -> Tensor | float:
        """Percentages added to the acceptance probabilities: (n_pairs,), or 0."""
        if self._noise is None:
            return 0.0
        order = [self._target_order[int(item)] for item in target_idx]
        return self._noise[torch.tensor(order)].to(self.device)

    def is_owner(self, user_idx: IntArray, target_idx: IntArray) -> Tensor:
        """Whether these users had these targets at the start: (n_pairs,) bool."""
        row, item_idx = self.owned.rows(user_idx)
        found = np.zeros(len(user_idx), dtype=bool)
        found[row[item_idx == target_idx[row]]] = True
        return torch.from_numpy(found).to(self.device)

    def boredom(self, recent: Tensor, item_idx: Tensor | None = None) -> Tensor | float:
        """What logits of acceptance lose: of these items (B,), or of all, (B, n_items + 1)."""
        if self._carried is None:
            return 0.0
        return self.options.boredom * share_alike(self._carried, recent, item_idx)

    def _boring_categories(self, dataset: Dataset) -> Tensor:
        if not dataset.items.category_names:
            raise InvalidInputError(f"boredom needs categories, {dataset.name} has none")
        self._known_response("boredom needs")
        return carried_categories(dataset).to(self.device)

    def _leanings(self) -> Leanings:
        self._known_response("laws of response need")
        n_users, n_items = len(self.user_vectors), len(self.item_vectors) - 1
        laws = self.options.laws
        return Leanings.drawn(laws, n_users, n_items, seed=self.seed, device=self.device)

    def _known_response(self, needs: str) -> DistributionResponse:
        if not isinstance(self.response, DistributionResponse):
            raise InvalidInputError(f"{needs} the click model `distribution`")
        return self.response


def _official_noise(n_targets: int) -> Tensor:
    # Seed 114514 of NumPy's legacy generator, as in the authors' code.
    return torch.from_numpy(np.random.RandomState(OFFICIAL_STREAM_SEED).rand(n_targets))
