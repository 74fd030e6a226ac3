"""Planners that learn to guide from guidance in simulation, beside Foresight's formula.

Usage: python benchmarks/learned_planners.py DATASET PAGE.md [--n-iterations 60] [--filter paper]
Two attempts at what the field would try next:

- reinforcement learning: the formula for the worth of a plan plus a small network over what the
  formula is made of, trained by policy gradient (REINFORCE: return to come, less what a linear
  model of the state foresees);
- IRN trained on planned paths: on histories that go on with what users accepted of Foresight's
  items, up to a target, instead of on histories alone.

Both learn in a world of other interest vectors (those of the next seed) and on other targets than
those they are measured with: every second of the pre-matched items. Measured in the usual worlds,
same users, targets and luck; differences are paired, with a 95 % bootstrap interval over users and
targets.
"""

import argparse
import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.data.load import DatasetOptions
from proactrec.evaluation.comparison import compared_logs
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.evaluation.rollout import rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.irn.fitting import fit_irn
from proactrec.irn.network import IRN
from proactrec.policies.base import Policy, View
from proactrec.policies.foresight import Foresight
from proactrec.policies.irn import IRNPolicy
from proactrec.policies.plans import Goal, Plans
from proactrec.rng import generator, torch_generator
from proactrec.simulator.world import World
from proactrec.types import FloatArray, IntArray
from shared.page import origin, page_parser, write_page

STORE = Path("runs/artefacts")
WORLDS = ("flat", "medium", "steep")
N_FEATURES, N_HIDDEN = 7, 32
SHARPNESS = 100.0
"""How much a plan's worth counts for its chance of being tried in training."""
COPIES = 5
"""Planned paths of every user that IRN is trained on, each toward another target."""


def main() -> None:
    """Train both, measure them, write the page."""
    parser = page_parser(__doc__, "dataset")
    parser.add_argument("--filter", default="paper")
    parser.add_argument("--n-targets", type=int, default=20, help="half to learn, half to measure")
    parser.add_argument("--n-users", type=int, default=300)
    parser.add_argument("--n-iterations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    school = School.opened(arguments)
    learner, curve = reinforced(school, arguments.n_iterations)
    policies: dict[str, Policy] = {
        "Foresight": school.foresight,
        "Foresight, reinforced": learner,
        "IRN": school.experiment("irn").guide.policy,
        "IRN on planned paths": IRNPolicy(school.taught_irn()),
    }
    rows = [row for world in WORLDS for row in school.measured(world, policies)]
    body = "\n".join([table(rows), "", EXPLAINED.format(curve=curve_in_words(curve))])
    content = {"origin": origin(), "rows": rows, "training": curve}
    write_page(arguments.page, f"Learned planners on {arguments.dataset}", content, body)
    print(body)


EXPLAINED = (
    "Difference: IoI@20 beside the row it grew from, paired; interval over users and targets. Mean "
    "reward of the reinforced planner in its training world, per pair, while it learned: {curve}."
)


class School(NamedTuple):
    """Where planners learn, and where they are measured."""

    options: ExperimentOptions
    dataset: Dataset
    foresight: Foresight
    practice: World  # of the next seed's interest vectors
    learned_on: IntArray  # targets
    measured_on: IntArray
    users: IntArray

    @classmethod
    def opened(cls, arguments: argparse.Namespace) -> "School":
        """Everything that both attempts need."""
        data = DatasetOptions(name=arguments.dataset, filter=arguments.filter)
        options = ExperimentOptions(dataset=data, policy="foresight", seed=arguments.seed)
        options = options.changed({"protocol.targets.n_targets": arguments.n_targets})
        own = Experiment(options, STORE)
        other = Experiment(options.changed({"seed": arguments.seed + 1}), STORE)
        targets = own.targets.item_idx
        practice = World(
            own.dataset, *other.interest, targets, own.protocol.world, seed=arguments.seed + 1
        )
        n_users = own.dataset.n_users
        rng = generator(arguments.seed, "school")
        users = np.sort(rng.choice(n_users, min(arguments.n_users, n_users), replace=False))
        foresight = own.guide.policy
        assert isinstance(foresight, Foresight)
        return cls(options, own.dataset, foresight, practice, targets[1::2], targets[::2], users)

    def experiment(self, policy: str, world: str = "medium") -> Experiment:
        """The run of a policy in a world."""
        changes = {"policy": policy, "protocol.world.world": world}
        return Experiment(self.options.changed(changes), STORE)

    def practised(self, policy: Policy, luck: int) -> GuidanceLog:
        """Guidance in the training world, with new luck every time."""
        world = copy.copy(self.practice)
        world.seed = luck
        options = self.options.protocol.rollout
        return rollout(
            policy,
            world,
            self.dataset,
            self.learned_on,
            options,
            user_idx=self.users,
            n_workers=1,
        ).log

    def taught_irn(self) -> IRN:
        """IRN trained on planned paths."""
        own, dataset = Experiment(self.options, STORE), self.dataset
        targets = generator(own.seed, "taught").permutation(dataset.n_items)[: 10 * COPIES] + 1
        targets = targets[~np.isin(targets, self.measured_on)][: 8 * COPIES]
        world = World(
            dataset,
            self.practice.user_vectors,
            self.practice.item_vectors,
            targets,
            own.protocol.world,
            seed=own.seed + 1,
        )
        log = rollout(self.foresight, world, dataset, targets, own.protocol.rollout).log
        taught = with_paths(dataset, log)
        model, record = fit_irn(taught, own.interest.item_vectors, seed=own.seed)
        print(f"IRN on planned paths: {len(record.epochs)} epochs", flush=True)
        return model

    def measured(self, world: str, policies: dict[str, Policy]) -> list[dict[str, Any]]:
        """Figures of all policies with the same users, and differences to what they grew from."""
        own = self.experiment("foresight", world)
        logs = {
            name: rollout(
                policy,
                own.world,
                own.dataset,
                self.measured_on,
                own.protocol.rollout,
                user_idx=self.users,
            ).log
            for name, policy in policies.items()
        }
        grown = {"Foresight, reinforced": "Foresight", "IRN on planned paths": "IRN"}
        rows = []
        for name, log in logs.items():
            row = {
                "world": world,
                "policy": name,
                "hr": float(log.accepted.sum() / log.is_shown.sum()),
                "ioi": float(increase(log).mean()),
                "target_accepted": float(log.reached.mean()),
            }
            if name in grown:
                row |= difference(log, logs[grown[name]])
            rows.append(row)
            print(row, flush=True)
        return rows


class Reinforced(Foresight):
    """Foresight whose worth of a plan is corrected by a network, which starts without effect."""

    def __init__(self, base: Foresight, dataset: Dataset, seed: int) -> None:
        known = dataset.before("train")
        super().__init__(base.views, dataset.train_counts, known, base.options)
        self.net = nn.Sequential(nn.Linear(N_FEATURES, N_HIDDEN), nn.Tanh(), nn.Linear(N_HIDDEN, 1))
        rng = torch_generator(seed, "reinforced")
        with torch.no_grad():
            for parameter in self.net[0].parameters():
                parameter.normal_(0, 0.5, generator=rng)
            for parameter in self.net[2].parameters():
                parameter.zero_()
        self.tries: list[Tries] = []
        self.rng: torch.Generator | None = None

    def worth(self, plans: Plans, goal: Goal, view: View) -> Tensor:
        """The formula's worth, sharpened and corrected; in training, noise decides among plans."""
        formula = super().worth(plans, goal, view)
        features = features_of(plans, formula, view.rounds_left)
        logits = self.logits(features, formula)
        if self.rng is None:
            return logits
        uniform = torch.rand(logits.shape, generator=self.rng).clamp(1e-9, 1 - 1e-9)
        noisy = logits - (-uniform.log()).log()  # its argmax is a draw by softmax
        self.tries.append(Tries(features, formula, noisy.argmax(1)))
        return noisy

    def logits(self, features: Tensor, formula: Tensor) -> Tensor:
        """By which plans are drawn in training: (B, C)."""
        correction: Tensor = self.net(features)[..., 0]
        return SHARPNESS * formula + correction


class Tries(NamedTuple):
    """Plans of a round of training, and which were tried."""

    features: Tensor  # (B, C, N_FEATURES)
    formula: Tensor  # (B, C)
    chosen: Tensor  # (B,)


def features_of(plans: Plans, formula: Tensor, rounds_left: Tensor) -> Tensor:
    """What the network sees of every plan: (B, C, N_FEATURES)."""
    now = plans.now.clamp(min=0)
    left = (rounds_left[:, None] / 20).to(now).expand_as(now)
    others = formula.clamp(min=0).mean(1, keepdim=True).expand_as(now)
    parts = [10 * now, plans.chance, 10 * plans.after, 10 * plans.other, left]
    return torch.stack([*parts, 2 * others, (plans.after == 0).float()], 2)


def reinforced(school: School, n_iterations: int) -> tuple[Reinforced, list[float]]:
    """The planner after policy gradient, and its mean reward in every iteration."""
    learner = Reinforced(school.foresight, school.dataset, school.practice.seed)
    optimizer = torch.optim.Adam(learner.net.parameters(), lr=3e-3)
    curve = []
    for iteration in range(n_iterations):
        learner.rng = torch_generator(school.practice.seed, "tries", iteration)
        learner.tries = []
        log = school.practised(learner, luck=1000 + iteration)
        curve.append(float(increase(log).mean()))
        for _ in range(2):
            optimizer.zero_grad()
            policy_gradient_loss(learner, log).backward()
            optimizer.step()
        print(f"iteration {iteration + 1}: {curve[-1]:.4f}", flush=True)
    learner.rng = None
    return learner, curve


def policy_gradient_loss(learner: Reinforced, log: GuidanceLog) -> Tensor:
    """Minus the log chance of what was tried, weighted by how much better it went than foreseen."""
    per_round = len(learner.tries) // (log.n_rounds - 1)  # the last round looks at nothing ahead
    total, n = torch.zeros(()), 0
    for number in range(log.n_rounds - 1):
        parts = learner.tries[number * per_round : (number + 1) * per_round]
        features, formula, chosen = (torch.cat(column) for column in zip(*parts, strict=True))
        rows = torch.from_numpy(np.flatnonzero(log.is_shown[:, number]))
        to_come = torch.from_numpy(log.interest[:, -1] - log.interest[:, number]).float()[rows]
        state = torch.stack(
            [
                torch.ones(len(rows)),
                formula[rows].max(1).values,
                torch.from_numpy(log.interest[:, number]).float()[rows],
            ],
            1,
        )
        advantage = to_come - state @ torch.linalg.lstsq(state, to_come[:, None]).solution[:, 0]
        advantage /= advantage.std().clamp(min=1e-6)
        chances = learner.logits(features[rows], formula[rows]).log_softmax(1)
        tried = chances.gather(1, chosen[rows, None])[:, 0]
        total = total - (tried * advantage).sum()
        n += len(rows)
    return total / n


def with_paths(dataset: Dataset, log: GuidanceLog) -> Dataset:
    """Every user several times: the newest of the history, then an accepted path to its target.

    The first copy of all users comes first, in their order, so that users keep their index. Two
    items more close each history, for the two that every data set holds out.
    """
    train, rows = dataset.before("train"), []
    reached = np.flatnonzero(log.reached)
    by_user: dict[int, list[int]] = {}
    for pair in generator(0, "paths").permutation(reached).tolist():
        by_user.setdefault(int(log.user_idx[pair]), []).append(pair)
    for number in range(COPIES):
        for user in range(dataset.n_users):
            items = train.of(user)[-30:].tolist()
            pairs = by_user.get(user, [])
            if number < len(pairs):
                pair = pairs[number]
                items += log.item_idx[pair][log.accepted[pair]].tolist()
            elif number:
                continue
            items += [item for item in range(1, dataset.n_items + 1) if item not in items][:2]
            name = f"{number}|{user:06}"
            rows += [(name, dataset.item_ids[item - 1], place) for place, item in enumerate(items)]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    catalogue = pl.DataFrame(
        {
            "item_id": dataset.item_ids,
            "title": dataset.titles,
            "categories": [[]] * dataset.n_items,
        },
        schema_overrides={"categories": pl.List(pl.String)},
    )
    made = Dataset.build("paths", Interactions(events), Catalogue(catalogue), keep_cold=True)
    assert made.item_ids == dataset.item_ids, "items are in another order"
    return made


def increase(log: GuidanceLog) -> FloatArray:
    """Increase of interest of every pair."""
    gained: FloatArray = log.interest[:, -1] - log.interest[:, 0]
    return gained


def difference(log: GuidanceLog, other: GuidanceLog) -> dict[str, float]:
    """Of the mean increase at the end, paired, with its interval."""
    (*_, last) = compared_logs({0: log}, {0: other}, MetricOptions(), ["ioi"])
    mean, low, high = last.estimate
    return {"difference": mean, "low": low, "high": high}


def table(rows: list[dict[str, Any]]) -> str:
    """All figures."""
    lines = [
        "| world | policy | HR@20 | IoI@20 | target accepted | difference |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        change = (
            f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
            if "difference" in row
            else ""
        )
        lines.append(
            f"| {row['world']} | {row['policy']} | {row['hr']:.3f} | {row['ioi']:.4f} | "
            f"{row['target_accepted']:.3f} | {change} |"
        )
    return "\n".join(lines)


def curve_in_words(curve: list[float]) -> str:
    """Ten of the values."""
    places = np.unique(np.linspace(0, len(curve) - 1, 10).round().astype(int))
    return ", ".join(f"{curve[place]:.4f} ({place + 1})" for place in places)


if __name__ == "__main__":
    main()
