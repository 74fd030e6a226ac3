"""Which view of interest Foresight comes to believe in, round by round, in worlds of each kind.

Usage: python benchmarks/views.py DATASET PAGE.md [--filter paper] [--seed 0] [--n-users 300]
       [--n-targets 5]
The shares of the views in the slope of acceptance before any answer and after 1, 5 and all rounds,
and IoI@20 with them and with the main view alone; same users, targets and luck.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from proactrec.data.load import DatasetOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.rollout import rollout
from proactrec.policies.base import Evidence
from proactrec.policies.belief import AcceptanceModel
from proactrec.policies.foresight import Foresight
from proactrec.rng import generator
from shared.page import origin, page_parser, write_page

STORE = Path("runs/artefacts")
WORLDS: dict[str, dict[str, Any]] = {
    "flat": {"protocol.world.world": "flat"},
    "medium": {},
    "steep": {"protocol.world.world": "steep"},
    **{kind: {"hidden": kind} for kind in ("factors", "neighbours", "content", "divided", "half")},
}
AFTER = (0, 1, 5, 19)


def main() -> None:
    """Play every world and write the page."""
    parser = page_parser(__doc__, "dataset")
    parser.add_argument("--filter", default="paper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n-users", type=int, default=300)
    parser.add_argument("--n-targets", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = DatasetOptions(name=arguments.dataset, filter=arguments.filter)
    base = ExperimentOptions(dataset=data, policy="foresight", seed=arguments.seed)
    base = base.changed({"protocol.targets.n_targets": arguments.n_targets})
    rows = []
    for name, changes in WORLDS.items():
        rows.append({"world": name, **measured(base.changed(changes), arguments.n_users)})
        print(name, rows[-1]["ioi"], rows[-1]["ioi_one_view"], flush=True)
    body = table(rows, base, arguments)
    content = {"origin": origin(), "arguments": vars(arguments) | {"page": None}, "worlds": rows}
    write_page(arguments.page, f"Views of Foresight on {arguments.dataset}", content, body)


class Witness(Foresight):
    """Notes the shares after every round."""

    def prior(self) -> AcceptanceModel:
        """As usual."""
        knowledge = super().prior()
        self.shares = [knowledge.shares.tolist()]
        return knowledge

    def learned(self, knowledge: AcceptanceModel, evidence: Evidence) -> AcceptanceModel:
        """As usual."""
        after = super().learned(knowledge, evidence)
        self.shares.append(after.shares.tolist())
        return after


def measured(options: ExperimentOptions, n_users: int) -> dict[str, Any]:
    """Shares over the rounds, and IoI@20 with all views and with the main one."""
    gains, shares = [], []
    choices: tuple[dict[str, Any], ...] = ({}, {"other_views": []})
    for wanted in choices:
        run = Experiment(options.changed({"policy_options": wanted}), STORE)
        own, known = run.guide.policy, run.dataset.before("train")
        assert isinstance(own, Foresight)
        policy = Witness(own.views, run.dataset.train_counts, known, own.options)
        users = generator(options.seed, "views").permutation(run.dataset.n_users)[:n_users]
        log = rollout(
            policy,
            run.world,
            run.dataset,
            run.targets.item_idx,
            run.protocol.rollout,
            user_idx=np.sort(users),
            n_workers=1,
        ).log
        gained = log.interest[log.is_counted]
        gains.append(float((gained[:, -1] - gained[:, 0]).mean()))
        shares.append(policy.shares)
    return {"shares": shares[0], "ioi": gains[0], "ioi_one_view": gains[1]}


def table(
    rows: list[dict[str, Any]], base: ExperimentOptions, arguments: argparse.Namespace
) -> str:
    """Markdown: a row per world."""
    heads = " | ".join("before" if after == 0 else f"after {after}" for after in AFTER)
    lines = [
        f"| world | {heads} | IoI@20 | with one view |",
        f"| --- | {'--- | ' * len(AFTER)}--- | --- |",
    ]
    for row in rows:
        shares = [
            " / ".join(
                f"{100 * share:.0f}" for share in row["shares"][min(after, len(row["shares"]) - 1)]
            )
            for after in AFTER
        ]
        figures = f"{row['ioi']:.3f} | {row['ioi_one_view']:.3f}"
        lines.append(f"| {row['world']} | {' | '.join(shares)} | {figures} |")
    lines += [
        "",
        "Shares in per cent: main view / companions / categories, after so many rounds. "
        f"{arguments.n_users} users, {arguments.n_targets} targets, seed {base.seed}; "
        "worlds without a slope in their name are medium.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
