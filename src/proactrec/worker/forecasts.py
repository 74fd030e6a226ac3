"""What a campaign is going to bring, said before it begins: it is played in plausible worlds.

A guide's folder holds items and what its users had. Simulated users with these histories, whose
interest is of several kinds and whose other traits are drawn (:mod:`proactrec.simulator.prior`),
are guided as the campaign says, and once more get plain items, by the same luck. How the figures of
many worlds make intervals: :mod:`proactrec.evaluation.forecast`.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from proactrec.data.dataset import Dataset, Histories
from proactrec.errors import InvalidInputError
from proactrec.evaluation.hidden_metrics import increase_of_interest
from proactrec.evaluation.observed_metrics import MetricOptions, hit_ratio, target_acceptance
from proactrec.evaluation.pairs import Pairs
from proactrec.evaluation.prediction import CAUTION, LEVELS, MIN_WORLDS, Summary, predicted
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.fitting.artefacts import CHECKPOINT, ArtefactStore
from proactrec.graphau import GraphAUOptions, fit_graphau
from proactrec.guidance.goals import Goal, best_targets
from proactrec.guidance.guide import Guide
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.measurement.ratios import linearised
from proactrec.measurement.sums import Sums
from proactrec.progress import Progress, silent
from proactrec.rng import generator
from proactrec.serving.guides import Guides, Live
from proactrec.simulator.hidden import Hidden, Vectors, hidden_vectors
from proactrec.simulator.prior import PlausibleWorld, Prior, drawn_world
from proactrec.simulator.world import World, WorldOptions
from proactrec.store.campaigns import Version
from proactrec.store.care import Care
from proactrec.types import IntArray
from proactrec.worth import Worth

FORECAST_VERSION = 2
METRICS = {
    "target_acceptance": target_acceptance,
    "acceptance": hit_ratio,
    "interest_gained": increase_of_interest,
}
ROUNDS, OPEN_ENDED_ROUNDS = (5, 10, 20), 20
"""Rounds at which figures are given; rounds that are played of a campaign without an end."""
MOST_USERS, MOST_KNOWN = 300, 2000
"""Users played in a world; users that hidden interest is fitted on."""
MOST_NEIGHBOURS = 5000
"""Items up to which worlds of neighbours are made: their table is items × items."""
TO_ONE = "every user is led to one target, the one that suits best"
TO_A_CATEGORY = (
    "every user is led to the item of the category that suits best, and to another once it was "
    "accepted or refused; target acceptance is of any of them, interest that in all of them"
)
SHARES = ("target_acceptance", "acceptance")


class Plan(NamedTuple):
    """A campaign with all that its forecast is made from."""

    version: Version
    guides: Guides
    audience: IntArray  # rows of the users that the guide knows
    care: Care = Care()

    @property
    def live(self) -> Live:
        """The campaign as it would be decided by, with what care excludes."""
        return self.guides.live(self.version, self.care)

    @property
    def n_rounds(self) -> int:
        """That are played."""
        return self.version.said.rounds or OPEN_ENDED_ROUNDS

    @property
    def rounds(self) -> tuple[int, ...]:
        """At which figures are given."""
        return tuple(sorted({n for n in (*ROUNDS, self.n_rounds) if n <= self.n_rounds}))

    @property
    def worth(self) -> Worth:
        """What the campaign is for."""
        own = self.guides.saved.recipe.policy_options.get("worth")
        return self.version.said.worth or (Worth(leaving=0) if own is None else Worth(**own))

    @property
    def world(self) -> WorldOptions:
        """What a draw of the prior does not decide."""
        leaving, refused = self.worth.both_leaving
        return WorldOptions(leaving=leaving, leaving_refused=refused)


def forecast(
    plan: Plan, store: Path, *, n_worlds: int = MIN_WORLDS, progress: Progress = silent
) -> dict[str, Any]:
    """Figures of guided and of plain users, with intervals, and what they stand on.

    Parameters
    ----------
    store : Path
        Folder of finished work: killed between two worlds, it goes on with the next.

    Raises
    ------
    InvalidInputError
        If the guide knows nobody of the audience, or all have all targets.
    """
    scene = Scene(plan, ArtefactStore(store, progress), progress)
    worlds = played("campaign-forecast", scene.played, scene, {}, n_worlds, progress)
    found = figures(worlds, plan, ("guided", "plain"), ("difference",))
    return {"n_worlds": n_worlds, **scene.about(), **found}


def played(
    kind: str,
    play: Callable[[PlausibleWorld], Summary],
    scene: "Scene",
    more: Mapping[str, Any],
    n_worlds: int,
    progress: Progress,
) -> list[Summary]:
    """What came of a campaign in so many worlds, each of which is played once.

    Parameters
    ----------
    kind : str
        Of the artefact that keeps it.
    more : mapping
        What decides it, beside the campaign and its guide.
    """

    def make(folder: Path) -> None:
        kept = folder / CHECKPOINT
        found = Summary.load_all(kept) if kept.exists() else []
        for number in range(len(found), n_worlds):
            progress("worlds", number, n_worlds)
            found.append(play(scene.world(number)))
            Summary.save_all(found, kept)
        progress("worlds", n_worlds, n_worlds)
        Summary.save_all(found, folder / "summaries.safetensors")

    plan = scene.plan
    inputs = {
        "version": FORECAST_VERSION,
        "guide": plan.guides.name,
        "knowledge": plan.guides.knowledge_of(plan.version.tenant),
        "said": plan.live.version.said.model_dump(mode="json"),
        "targets": scene.targets.tolist(),
        "unavailable": sorted(plan.guides.unavailable),
        "audience": plan.audience.tolist(),
        "worlds": [scene.world(number).model_dump() for number in range(n_worlds)],
        **more,
    }
    folder = scene.artefacts.get_or_make(kind, inputs, make).folder
    return Summary.load_all(folder / "summaries.safetensors")


def figures(
    worlds: Sequence[Summary],
    plan: Plan,
    groups: Sequence[Hashable],
    differences: Sequence[Hashable],
) -> dict[Any, dict[str, Any]]:
    """Mean and intervals by group, metric and round; groups first, then differences of them."""
    names = [
        (group, metric, number)
        for group in (*groups, *differences)
        for metric in METRICS
        for number in plan.rounds
    ]
    means = np.stack([world.mean[0] for world in worlds]).mean(0)
    _, bounds = predicted(worlds, np.array([len(plan.audience)], np.float64))
    found: dict[Any, dict[str, Any]] = {}
    for at, (group, metric, number) in enumerate(names):
        low = -1.0 if group in differences else 0.0
        ends = bounds[:, :, 0, at].clip(low, 1.0) if metric in SHARES else bounds[:, :, 0, at]
        intervals = {str(n): pair.tolist() for n, pair in zip(LEVELS, ends, strict=True)}
        of_metric = found.setdefault(group, {}).setdefault(metric, {})
        of_metric[str(number)] = {"mean": float(means[at]), "intervals": intervals}
    return found


def compared(ways: Sequence[Sums], differences: Sequence[tuple[int, int]]) -> Summary:
    """Figures of several ways to play the same users, and one way's less another's."""
    mean, scores = linearised(Sums.beside(ways).by_user())
    size = len(mean) // len(ways)
    own = [slice(at * size, (at + 1) * size) for at in range(len(ways))]
    less = [(own[one], own[other]) for one, other in differences]
    mean = np.concatenate([mean, *(mean[one] - mean[other] for one, other in less)])
    scores = np.concatenate([scores, *(scores[:, a] - scores[:, b] for a, b in less)], 1)
    n = len(scores)
    variance = (scores**2).sum(0) / max(n - 1, 1)
    return Summary(mean[None], variance[None], np.array([float(n)]), np.zeros((1, 2, 1)))


class Scene:
    """Simulated users of a campaign, and what they are guided to."""

    def __init__(self, plan: Plan, artefacts: ArtefactStore, progress: Progress = silent) -> None:
        if not len(plan.audience):
            raise InvalidInputError(
                "the guide knows nobody of the audience: nothing can be forecast"
            )
        self.plan, self.artefacts, self._progress = plan, artefacts, progress
        saved, live = plan.guides.saved, plan.live
        if not len(live.targets):
            raise InvalidInputError("care excludes all targets: nobody would be guided to any")
        self.seed, rows = saved.seed, plan.audience
        if len(rows) > MOST_KNOWN:
            drawn = generator(self.seed, "forecast users").choice(rows, MOST_KNOWN, replace=False)
            rows = np.sort(drawn)
        self.dataset = dataset_of(plan.guides, rows)
        users = train_users(self.dataset)
        self.users = replace(users, known=rows)
        arms = live.version.said.arms
        self.guides = [plan.guides.of(live.version, arm.name) for arm in arms]
        self.plain = [plan.guides.plain(live.version)] * len(arms)
        self.targets = live.targets
        self.pairs = self._pairs()
        self.prior = self._prior()
        self._vectors: dict[Hidden, Vectors] = {}

    def world(self, number: int) -> PlausibleWorld:
        """The world of a number."""
        return drawn_world(self.prior, self.seed, number)

    def played(self, world: PlausibleWorld) -> Summary:
        """The campaign in one world: guided, plain, and the difference."""
        return compared(self.sums(world, [self.guides, self.plain]), [(0, 1)])

    def sums(self, world: PlausibleWorld, ways: Sequence[Sequence[Guide]]) -> list[Sums]:
        """Sums of the figures of the campaign's users in one world, with the same luck each time.

        Parameters
        ----------
        ways : sequence of sequence of Guide
            Each has a guide for every arm.
        """
        for kind in world.hidden:
            if kind not in self._vectors:
                self._vectors[kind] = self._hidden(kind)
        own = world.build(self.dataset, self._vectors, self.targets, self.plan.world)
        options = MetricOptions(rounds=self.plan.rounds)
        found: list[list[Sums]] = [[] for _ in ways]
        for arm, pairs in self._by_arm(self._sampled(world.seed)):
            for parts, guides in zip(found, ways, strict=True):
                log = self._log(guides[arm], guides[0], own, pairs)
                parts.append(Sums.beside([metric(log, options) for metric in METRICS.values()]))
        return [Sums.together(parts) for parts in found]

    def about(self) -> dict[str, Any]:
        """How many users, and what is assumed."""
        plan, said, prior = self.plan, self.plan.version.said, self.prior
        n = len(plan.audience)
        n_out = round(n * said.hold_out)
        return {
            "rounds": list(plan.rounds),
            "caution": CAUTION,
            "n_users": {
                "audience": n,
                "guided": n - n_out,
                "held_out": n_out,
                "with_a_target": len(self.pairs.user_idx),
                "played_in_a_world": min(MOST_USERS, len(self.pairs.user_idx)),
            },
            "assumed": [
                "users are like those that the guide knows, with what they had when it was fitted "
                "less the newest two items; who came later is not counted",
                f"a user comes back for {plan.n_rounds} rounds, but "
                f"{plan.world.leaving:.0%} leave after each",
                f"mean acceptance of what users would take next is {prior.mean_accept[0]:.0%} to "
                f"{prior.mean_accept[1]:.0%}, and interest is of the kinds "
                f"{', '.join(prior.hidden)}",
                TO_ONE if said.goal.category is None else TO_A_CATEGORY,
                "the whole audience is reached at once; caps by day, caps of items over users and "
                "budgets are not played",
            ],
        }

    def _sampled(self, seed: int) -> Pairs:
        """Users of a world, in an order that is drawn."""
        n = len(self.pairs.user_idx)
        rows = generator(seed, "sampled users").permutation(n)[:MOST_USERS]
        return Pairs(self.pairs.user_idx[rows], self.pairs.target_idx[rows])

    def _by_arm(self, pairs: Pairs) -> list[tuple[int, Pairs]]:
        """Every arm's place and its share of the users; of few users an arm may get none."""
        said, n = self.plan.version.said, len(pairs.user_idx)
        shares = [said.shares[arm.name] for arm in said.arms]
        ends = np.round(np.cumsum(shares) / sum(shares) * n).astype(np.int64)
        parts = enumerate(zip([0, *ends[:-1]], ends, strict=True))
        return [
            (arm, Pairs(pairs.user_idx[at:end], pairs.target_idx[at:end]))
            for arm, (at, end) in parts
            if end > at
        ]

    def _log(self, guide: Guide, chooser: Guide, world: World, pairs: Pairs) -> GuidanceLog:
        options = RolloutOptions(
            n_rounds=self.plan.n_rounds,
            exclude="accepted" if guide.shows_again else "shown",
            end="unknown",
            n_traced=0,
        )
        how: Any = {"pairs": pairs, "users": self.users, "goal": self._goal(guide, chooser)}
        return rollout(guide, world, self.dataset, self.targets, options, **how).log

    def _goal(self, guide: Guide, chooser: Guide) -> Goal | None:
        """The items of a category, as the service leads to them; None: targets were named.

        Who is not guided keeps the first: it changes nothing of what is shown.
        """
        if self.plan.version.said.goal.category is None:
            return None
        items = torch.from_numpy(self.targets[~np.isin(self.targets, self._sold_out)])
        if guide.policy.guides:
            return Goal(items, None if guide is chooser else chooser)
        fixed = torch.zeros(len(self.users.key), dtype=torch.int64)
        fixed[self.pairs.user_idx] = torch.from_numpy(self.pairs.target_idx)
        return Goal(items, fixed=fixed)

    @property
    def _sold_out(self) -> list[int]:
        return sorted(self.plan.guides.unavailable)

    def _pairs(self) -> Pairs:
        """Every user with the target that suits best, of those that they don't have."""
        users = self.users
        everybody = torch.arange(len(users.key))
        begun = Journeys.begun(users, everybody, torch.zeros_like(everybody), self.plan.n_rounds)
        owner, item = users.history.rows(np.arange(len(users.key)))
        has = np.zeros((len(users.key), self.dataset.n_items + 1), bool)
        has[owner, item] = True
        is_closed = has[:, self.targets]
        is_closed[:, np.isin(self.targets, self._sold_out)] = True
        items, closed = torch.from_numpy(self.targets), torch.from_numpy(is_closed)
        best = best_targets(self.guides[0], begun, items, closed).numpy()
        if not best.any():
            raise InvalidInputError(
                "everybody of the audience has all targets, or all are sold out"
            )
        return Pairs(np.flatnonzero(best), best[best > 0])

    def _prior(self) -> Prior:
        prior = Prior()
        if not self.dataset.items.category_names:
            prior = prior.without("content")
        if self.dataset.n_items > MOST_NEIGHBOURS:
            prior = prior.without("neighbours")
        return prior

    def _hidden(self, kind: Hidden) -> Vectors:
        """Interest vectors of simulated users; those of `interest` are trained once."""
        if kind != "interest":
            return hidden_vectors(kind, self.dataset)

        def make(folder: Path) -> None:
            vectors, _ = fit_graphau(
                self.dataset,
                seed=self.seed,
                checkpoint=folder / CHECKPOINT,
                progress=self._progress,
            )
            save_file(dict(vectors._asdict()), folder / "vectors.safetensors")

        inputs = {
            "data": self.dataset.fingerprint,
            "seed": self.seed,
            **GraphAUOptions().model_dump(),
        }
        made = self.artefacts.get_or_make("forecast-interest", inputs, make)
        saved = load_file(made.folder / "vectors.safetensors")
        return saved["user_vectors"], saved["item_vectors"]


def dataset_of(guides: Guides, rows: IntArray) -> Dataset:
    """Users that the guide knows, with all that they had when it was fitted."""
    known, items = guides.saved.known, guides.items
    at, item_idx = known.history.rows(rows)
    lengths = np.bincount(at, minlength=len(rows))
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    return Dataset(
        name=items.name,
        user_ids=tuple(known.user_ids[row] for row in rows.tolist()),
        item_ids=items.item_ids,
        titles=items.titles,
        categories=items.categories,
        histories=Histories(offsets, item_idx),
        timestamps=np.zeros(len(item_idx), np.int64),
        texts=items.texts,
    )
