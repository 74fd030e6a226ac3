"""ProRL's own figures of all who guide: by the model that rewarded it, and by one that never did.

Usage: python benchmarks/judged_paths.py PAGE.md [--dataset ml-100k] [--seeds 0 1 2] [--users 200]
    [--targets 12] [--world medium-v2] [--methods NAME ...] [--folder runs/laws] [--data-dir DIR]
    [--only-finished]
Cells are those of `laws.py`. The judge that rewarded ProRL is the SASRec of the same seed; the
other is a BSARec of the next seed, from random item vectors, trained on the same histories.
"""

import argparse
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from proactrec.encoders.fitting import load_encoder
from proactrec.evaluation.benchmark.grid import Cell, grid
from proactrec.evaluation.benchmark.suites import RIVALS, Changes
from proactrec.evaluation.experiment import Experiment
from proactrec.evaluation.judged_paths import judged_paths, paths_of
from proactrec.guidance.log import GuidanceLog
from proactrec.policies.prorl import ProRLPolicy, judge_folder
from proactrec.prorl.fitting import greedy_paths, held_out_prompts, mined
from proactrec.prorl.network import ProRL
from proactrec.prorl.options import ProRLOptions
from proactrec.prorl.rewards import Judge, judge_by, rewards
from shared.kept import Kept, parser_of
from shared.page import origin, write_page
from shared.tables import interval, table

PRE_TRAINED: Changes = {
    **RIVALS["ProRL"],
    "policy_options.model.reinforcing": {
        "learning_rate": 1e-12,
        "n_steps": 1,
        "stopping": {"n_epochs": 1, "patience": 1},
    },
}
UNCENTRED: Changes = {**RIVALS["ProRL"], "policy_options.model.reinforcing": {"centring": "none"}}
METHODS: dict[str, Changes] = {
    **RIVALS,
    "ProRL, pre-trained only": PRE_TRAINED,
    "ProRL, without a centre": UNCENTRED,
}
UNSEEN: Changes = {
    "policy": "next-item",
    "encoder": "bsarec",
    "encoder_options": {"item_start": "random"},
}
COLUMNS = {
    "length": ("items", 1),
    "log_ioi": ("IoI, nats", 2),
    "log_ior": ("IoR, places", 0),
    "ctr": ("CTR", 3),
    "coherence": ("coherence", 3),
}
Row = dict[str, Any]


def main() -> None:
    """Judge the paths of every method, seed by seed, and write the page."""
    arguments = _arguments()
    kept = Kept(arguments)
    rows: dict[tuple[str, str], Row] = {}
    of_models: list[Row] = []
    for seed in arguments.seeds:
        methods = {name: METHODS[name] for name in arguments.methods}
        cells = grid([kept.base], methods, (), [seed], named_worlds=[arguments.world])
        logs = [(c, Path(found["log"])) for c in cells if (found := kept.played(c)) is not None]
        if logs:
            _judge(logs, kept, seed, rows)
            of_models += _held_out({cell.method for cell, _ in logs}, kept, seed)
    about = {name: str(value) for name, value in vars(arguments).items()}
    content = {
        "origin": origin(),
        "arguments": about,
        "rows": [*rows.values()],
        "held_out": of_models,
    }
    title = f"Paths by ProRL's own figures, on {arguments.dataset}"
    write_page(arguments.page, title, content, body_of(content))


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__, n_users=200, n_targets=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--world", default="medium-v2")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    return parser.parse_args()


def _judge(
    logs: Sequence[tuple[Cell, Path]], kept: Kept, seed: int, rows: dict[tuple[str, str], Row]
) -> None:
    """Add the figures of a seed to the rows of judges and methods."""
    own, rewarding = _rewarding(kept, seed)
    for judge, judged_by in _judges(rewarding, kept, seed).items():
        for cell, path in logs:
            log = GuidanceLog.load(Path(path))
            sums = judged_paths(log, own.dataset, judged_by)
            figures = {name: float(of.numerator.mean()) for name, of in sums.items()}
            figures["length"] = float((paths_of(log) > 0).sum(1).mean())
            row: Row = {"judge": judge, "method": cell.method, "seeds": [], "figures": {}}
            row = rows.setdefault((judge, cell.method), row)
            row["seeds"].append(seed)
            for name, value in figures.items():
                row["figures"].setdefault(name, []).append(value)
            print(judge, cell.text, figures, flush=True)


def _held_out(methods: Container[str], kept: Kept, seed: int) -> list[Row]:
    """Worth and length of every model's greedy paths from prompts of users held out of training.

    By the centre of ProRL's own first epoch, whoever wrote the path.
    """
    own, judge = _rewarding(kept, seed)
    options = ProRLOptions()
    asked = held_out_prompts(mined(own.dataset, options, seed)[1], own.dataset, options, seed)
    found, centre = [], None
    for name in ("ProRL", "ProRL, pre-trained only", "ProRL, without a centre"):
        if name not in methods:
            continue
        made = kept.workshop.experiment(kept.base.changed({**METHODS[name], "seed": seed}))
        assert isinstance(made.guide.policy, ProRLPolicy)
        model = made.guide.policy.model
        centre = centre or ProRL(model.n_items, options)
        if name == "ProRL":
            centre.load_state_dict(model.state_dict())
        path = greedy_paths(model, asked)
        reward = rewards(centre, judge(*asked, path), path, options.reinforcing)
        length = float((path > 0).sum(1).float().mean())
        worth = float(reward.sum(1).mean())
        found.append({"method": name, "seed": seed, "worth": worth, "length": length})
    return found


def _rewarding(kept: Kept, seed: int) -> tuple[Experiment, Judge]:
    """ProRL's experiment, and the judge that rewarded it."""
    own = kept.workshop.experiment(kept.base.changed({**RIVALS["ProRL"], "seed": seed}))
    folder = judge_folder(own.fitting, ProRLOptions())
    return own, judge_by(load_encoder(folder, own.dataset.item_ids))


def _judges(rewarding: Judge, kept: Kept, seed: int) -> dict[str, Judge]:
    """Who judges, by name."""
    other = kept.workshop.experiment(kept.base.changed({**UNSEEN, "seed": seed + 1}))
    return {
        "the SASRec that rewarded ProRL": rewarding,
        "a BSARec that never did": judge_by(other.fitting.encoder),
    }


EXPLAINED = (
    "A path is what was shown before the target, its first ten items; every item of it counts as "
    "accepted, whatever simulated users answered. IoI: increase of the target's log-probability "
    "over the whole path. IoR: places that the target rose. CTR: mean sigmoid of the scores of the "
    "path's items, which is no probability. Coherence: share of neighbours, the target after the "
    "last item among them, that share a category. Means over journeys, with 95 % intervals over "
    "seeds (Student's t). Who shows the target at once has no path, and counts 0."
)


def body_of(content: Mapping[str, Any]) -> str:
    """The page below its title."""
    parts = [f"World `{content['arguments']['world']}`. {EXPLAINED}"]
    for judge in dict.fromkeys(row["judge"] for row in content["rows"]):
        lines = [
            [
                row["method"],
                *(interval(row["figures"][name], digits) for name, (_, digits) in COLUMNS.items()),
            ]
            for row in content["rows"]
            if row["judge"] == judge
        ]
        heads = ["method", *(head for head, _ in COLUMNS.values())]
        parts += [f"## By {judge}", table(heads, lines)]
    heads = ["model", "seed", "reward of a greedy path", "items of it"]
    of_models = [
        [row["method"], f"{row['seed']}", f"{row['worth']:.2f}", f"{row['length']:.1f}"]
        for row in content["held_out"]
    ]
    parts += ["## From prompts of users held out of training", table(heads, of_models)]
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
