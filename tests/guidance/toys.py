"""A small world in which nothing is trained, and policies of every kind to play in it."""

import os
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.sasrec import SASRec
from proactrec.evaluation.oracles import OracleGreedy
from proactrec.evaluation.protocols import COMMON, Protocol
from proactrec.evaluation.rollout import RolloutResult, rollout
from proactrec.graphau import InterestVectors
from proactrec.guidance.course import Rails
from proactrec.guidance.guide import Guide
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions
from proactrec.intents import Intents
from proactrec.journeys import Journeys
from proactrec.policies.base import Decision, Evidence, Policy, Renewal, View, next_planned
from proactrec.policies.foresight import Foresight, ForesightOptions
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.policies.reference import Nearest, Random
from proactrec.simulator.world import World

N_USERS = int(os.environ.get("PROACTREC_RAILS_USERS", "12"))
N_ITEMS, N_ROUNDS, READ = 26, 8, 5
TARGETS = np.array([3, 9])
KINDS = ("a", "b", "c", "d")
CATEGORIES = [[KINDS[i % 3]] + ["d"] * (i % 4 == 0) for i in range(1, N_ITEMS + 1)]
POLICIES = (
    "itmprec",
    "ipg",
    "next-item",
    "nearest",
    "random",
    "foresight",
    "oracle",
    "planned never",
    "planned refusal",
    "planned acceptance",
)
SPANNING = RailsOptions(
    item_cap_per_round=2,
    item_cap_total=7,
    daily_cap=3,
    rounds_per_day=2,
    guided_pairs=0.8,
    opt_out_share=0.1,
)
SINGLE = RailsOptions(
    plain_share=0.3, relevance_floor=0.6, pause_after=2, category_caps={"a": 2}, opt_out=("u02",)
)
"""Rails of single journeys."""


class Planned(Policy):
    """A path through all items, drawn anew whenever its place is to be made again."""

    name: ClassVar[str] = "planned"
    knows_target = True

    def __init__(self, renewed_by: Renewal) -> None:
        self.renewed_by = renewed_by

    def place(self, journeys: Journeys) -> Tensor:
        moments = {"acceptance": journeys.accepted, "refusal": journeys.refused > 0}
        moved = moments.get(self.renewed_by, torch.zeros_like(journeys.accepted))
        newest = (moved * torch.arange(1, journeys.n_rounds + 1)).max(1).values
        keys = (journeys.user * 7 + journeys.target_idx * 5 + (newest + 1) * 3)[:, None]
        order = (torch.arange(1, N_ITEMS + 1)[None] * (2 * keys + 1)) % 53
        return (order.argsort(dim=1, stable=True) + 1).float()

    def decide(self, view: View) -> Decision:
        return next_planned(view)


class Toy(NamedTuple):
    dataset: Dataset
    encoder: SASRec
    vectors: InterestVectors  # of the simulated users
    believed: InterestVectors  # of the policy
    intents: Intents

    def policy(self, name: str) -> Policy:
        if name.startswith("planned"):
            return Planned(name.split()[1])  # type: ignore[arg-type]
        made: dict[str, Callable[[], Policy]] = {
            "itmprec": lambda: ITMPRec(self.encoder, self.intents),
            "ipg": lambda: IPG(self.encoder),
            "next-item": lambda: NextItem(self.encoder),
            "nearest": lambda: Nearest(self.encoder),
            "random": lambda: Random(self.dataset.items.key),
            "foresight": self.foresight,
            "taught": self.taught,
            "oracle": OracleGreedy,
        }
        return made[name]()

    def foresight(
        self, options: ForesightOptions | None = None, kind: type[Foresight] = Foresight
    ) -> Foresight:
        counts, known = self.dataset.items.train_counts, self.dataset.before("train")
        return kind(self.believed, counts, known, options)

    def taught(self) -> Foresight:
        """Foresight that knows how two in three of some items were accepted."""
        items = torch.arange(1, N_ITEMS + 1)
        policy = self.foresight()
        prior = policy.prior()
        features = torch.zeros(N_ITEMS, len(prior.weights) - 1)  # no sign of any law
        features[:, 0] = torch.linspace(-1, 1, N_ITEMS)
        answers = Evidence(items, features, items % 3 > 0)
        return policy.knowing(policy.learned(prior, answers))

    def guide(
        self,
        policy: str | Policy,
        rails: RailsOptions | None = None,
        seed: int = 0,
        *,
        shows_again: bool = False,
    ) -> Guide:
        """A policy, by name or as it is, within rails if there are any."""
        if isinstance(policy, str):
            policy = self.policy(policy)
        if rails is None:
            return Guide(policy, self.dataset.items, shows_again=shows_again)
        within = Rails(rails, self.dataset.items, seed=seed)
        recommender = NextItem(self.encoder)
        return Guide(policy, self.dataset.items, within, recommender, shows_again=shows_again)

    def play(self, guide: Guide | str, protocol: Protocol = COMMON, **how: Any) -> GuidanceLog:
        return self.played(guide, protocol, **how).log

    def played(
        self,
        guide: Guide | str,
        protocol: Protocol = COMMON,
        seed: int = 0,
        targets: Any = TARGETS,
        n_workers: int = 1,
        **changes: Any,
    ) -> RolloutResult:
        guide = self.guide(guide) if isinstance(guide, str) else guide
        world = World(self.dataset, *self.vectors, targets, protocol.world, seed=seed)
        changes = {"n_rounds": N_ROUNDS, "n_traced": 0, **changes}
        options = protocol.rollout.model_copy(update=changes)
        return rollout(guide, world, self.dataset, targets, options, n_workers=n_workers)


def made() -> Toy:
    """The toy: users of 3 to 8 items, and one who has everything."""
    draw, rng = np.random.default_rng(4), torch.Generator().manual_seed(8)
    rows = [
        (f"u{user:02}", f"i{item:02}", time)
        for user in range(N_USERS)
        for time, item in enumerate(draw.permutation(N_ITEMS)[: 3 + user % 6] + 1)
    ] + [("v", f"i{item:02}", item) for item in range(1, N_ITEMS + 1)]
    ids = [f"i{item:02}" for item in range(1, N_ITEMS + 1)]
    lists = pl.Series(CATEGORIES, dtype=pl.List(pl.String))
    items = pl.DataFrame({"item_id": ids, "title": ids, "categories": lists})
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    encoder = SASRec(N_ITEMS, EncoderOptions(embedding_dim=8, max_seq_len=READ, n_layers=1))
    encoder.start(0, padded(unit(rng, N_ITEMS, 8)))
    with torch.no_grad():
        for name, weight in encoder.named_parameters():
            if "items" not in name:  # the start is too small to tell histories apart
                weight.add_(0.5 * torch.randn(weight.shape, generator=rng))
    return Toy(
        Dataset.build("toy", Interactions(events), Catalogue(items)),
        encoder.eval(),
        InterestVectors(unit(rng, N_USERS + 1, 6), padded(unit(rng, N_ITEMS, 6))),
        InterestVectors(unit(rng, N_USERS + 1, 6), padded(unit(rng, N_ITEMS, 6))),
        Intents(unit(rng, 4, 8)),
    )


def unit(rng: torch.Generator, n_rows: int, dim: int) -> Tensor:
    return F.normalize(torch.randn(n_rows, dim, generator=rng), dim=1)


def padded(items: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1, items.shape[1]), items])


def assert_same(log: GuidanceLog, other: GuidanceLog) -> None:
    for name in ("user_idx", "target_idx", "item_idx", "accepted", "rank"):
        np.testing.assert_array_equal(getattr(log, name), getattr(other, name))
    np.testing.assert_allclose(log.interest, other.interest, atol=1e-6)
