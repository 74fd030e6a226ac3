"""Options of every policy, chosen by as many trials as every other's, in validation worlds.

Usage: python benchmarks/tuned_policies.py PAGE.md [--dataset ml-100k] [--seed 3] [--trials 16]
    [--users 150] [--targets 8] [--policies NAME ...] [--folder runs/laws] [--data-dir DIR]
    [--only-finished]
A trial is one choice of options, played in all validation worlds; its score is the mean of IoI@20
over them. The first trial of a policy is its defaults, the others are drawn at random from its
space, each once, until there are no more. Users, targets and seed are none of those that results
are reported for. Trials lie in FOLDER/trials, so it goes on where it was killed. `laws.py` plays
what was chosen.
"""

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from proactrec.config import digest
from proactrec.evaluation.benchmark.grid import grid
from proactrec.evaluation.benchmark.suites import RIVALS, Changes
from proactrec.rng import generator
from shared.kept import Kept, means_of, parser_of
from shared.page import origin, write_page
from shared.tables import table

WORLDS = ("medium-v2", "returning-v1", "reactance-v1", "appeal-v1")
Space = Mapping[str, Sequence[Any]]
GUIDANCE: Space = {
    "relevance_link": ("sigmoid", "raw"),
    "guidance": ("cosine", "dot"),
    "no_gain": ("most_relevant", "product"),
}
SPACES: dict[str, Space] = {
    "IPG": {f"policy_options.{name}": values for name, values in GUIDANCE.items()},
    "ITMPRec": {
        **{f"policy_options.{name}": values for name, values in GUIDANCE.items()},
        "policy_options.intent_weight": (1.0, 0.0, 0.25, 0.5, 2.0, 4.0),
        "policy_options.intent_link": ("sigmoid", "raw"),
        "protocol.intents.n_intents": (32, 8, 128),
    },
    "Foresight": {
        "policy_options.n_candidates": (6, 4, 10),
        "policy_options.n_considered": (32, 16, 64),
        "policy_options.discount": (None, 0.5, 0.8),
        "policy_options.kept_share": (0.8, 0.7, 0.9),
        "policy_options.belief_variance": (0.01, 0.0, 0.02, 0.05),
        "policy_options.prior_chance": (0.27, 0.2, 0.35),
        "policy_options.item_shrinkage": (20.0, 10.0, 40.0),
        "policy_options.view_share": (0.1, 0.05, 0.2),
    },
    "IRN, re-planned": {
        "policy_options.mode": ("replan", "plan_once"),
        "policy_options.model.objective_weight": (1.0, 0.5, 2.0, 4.0),
        "policy_options.model.history_weight": (0.05, 0.0, 0.2),
        "policy_options.model.objective_sees": ("itself", "history"),
        "policy_options.model.learning_rate": (8e-3, 3e-3),
        "policy_options.model.min_piece_len": (20, 10),
    },
}
"""What is searched, by method; the default of an option comes first."""


def main() -> None:
    """Try what is missing, and write the page with what was chosen."""
    arguments = _arguments()
    kept = Kept(arguments, "trials")
    trials = {
        name: [
            _tried(name, options, kept, arguments.seed)
            for options in drawn(SPACES[name], arguments.trials, arguments.seed)
        ]
        for name in arguments.policies
    }
    finished = {
        name: [one for one in of if one["score"] is not None] for name, of in trials.items()
    }
    best = {name: max(of, key=lambda one: one["score"]) for name, of in finished.items() if of}
    chosen = {name: changed_in(one["options"], SPACES[name]) for name, one in best.items()}
    about = {name: str(value) for name, value in vars(arguments).items()}
    content = {"origin": origin(), "arguments": about, "chosen": chosen, "trials": trials}
    title = f"Options of every policy, chosen by the same number of trials, on {arguments.dataset}"
    write_page(arguments.page, title, content, body_of(finished, best, arguments))


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__, n_users=150, n_targets=8)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--policies", nargs="+", choices=list(SPACES), default=list(SPACES))
    return parser.parse_args()


def drawn(space: Space, n_trials: int, seed: int) -> list[dict[str, Any]]:
    """The defaults, and further choices at random, each once: `n_trials` or all that there are."""
    every = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    others = generator(seed, "tuned policies").permutation(len(every) - 1) + 1
    return [every[0], *(every[at] for at in others[: n_trials - 1])]


def changed_in(options: Changes, space: Space) -> dict[str, Any]:
    """Options that are not the defaults."""
    return {name: value for name, value in options.items() if value != space[name][0]}


def _tried(name: str, options: Changes, kept: Kept, seed: int) -> dict[str, Any]:
    """IoI@20 of a trial by world and on average; None where it is not finished or not possible."""
    method = {f"{name} {digest(dict(options))[:8]}": {**RIVALS[name], **options}}
    cells = grid([kept.base], method, (), [seed], named_worlds=WORLDS)
    found = {cell.world: kept.played(cell) for cell in cells}
    gained = {world: means_of(one)["ioi@20"] for world, one in found.items() if one is not None}
    score = fmean(gained.values()) if len(gained) == len(WORLDS) else None
    return {"options": dict(options), "score": score, "ioi@20": gained}


EXPLAINED = (
    "Mean of IoI@20 over {worlds}, seed {seed}, {users} users and {targets} targets; at most "
    "{trials} trials of each policy, its defaults first. Fewer trials: its options allow no more."
)


def body_of(
    trials: Mapping[str, Sequence[Mapping[str, Any]]],
    best: Mapping[str, Mapping[str, Any]],
    arguments: argparse.Namespace,
) -> str:
    """The page below its title."""
    about = {**vars(arguments), "worlds": ", ".join(WORLDS)}
    lines = []
    for name, one in best.items():
        changed = [
            f"`{option.removeprefix('policy_options.')}={json.dumps(value)}`"
            for option, value in changed_in(one["options"], SPACES[name]).items()
        ]
        scores = [f"{trial['score']:.4f}" for trial in (trials[name][0], one)]
        lines.append([name, str(len(trials[name])), *scores, ", ".join(changed) or "the defaults"])
    heads = ["policy", "trials", "defaults", "best", "chosen, beside the defaults"]
    return f"{EXPLAINED.format(**about)}\n\n{table(heads, lines)}"


if __name__ == "__main__":
    main()
