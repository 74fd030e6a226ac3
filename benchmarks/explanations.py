"""Are explanations faithful? Does leaving out the named items change what a policy shows?

Usage: python benchmarks/explanations.py PAGE.md --datasets demo ml-100k --store runs/artefacts
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from proactrec.data.dataset import Dataset, Histories
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.graphau import fit_graphau
from proactrec.guidance.explanations import N_CAUSES, Explainer, Moment
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.measurement.bootstrap import bootstrap_weights, ratio_estimates
from proactrec.measurement.sums import Sums
from proactrec.policies.foresight import Foresight
from proactrec.rng import generator
from proactrec.types import FloatArray, IntArray
from shared.page import origin, page_parser, write_page

N_USERS, N_TARGETS, N_DRAWS, N_LEFT_OUT = 200, 5, 5, 3
NAMED, ONCE, NEWEST, NEAREST, RANDOM = "named", "singly", "newest", "nearest", "random"
METHODS = (NAMED, ONCE, NEWEST, NEAREST, RANDOM)


def main() -> None:
    """Measure, and write the page."""
    arguments = _arguments()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    checks: dict[str, dict[str, float]] = {}
    for name in arguments.datasets:
        for policy in arguments.policies:
            experiment = _experiment(name, policy, arguments)
            rows.append(measured(experiment, arguments.n_decisions))
            print(rows[-1], flush=True)
            if policy == "foresight" and name in arguments.fit_anew:
                checks[name] = fitted_anew(experiment)
                print(checks[name], flush=True)
    content = {"origin": origin(), "rows": rows, "fitted_anew": checks}
    write_page(arguments.page, "Are explanations faithful?", content, _body(rows, checks))


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("--datasets", nargs="+", default=["demo"])
    parser.add_argument("--policies", nargs="+", default=["itmprec", "foresight"])
    parser.add_argument("--store", type=Path, default=Path("runs/artefacts"))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--n-decisions", type=int, default=200, help="drawn from each run")
    parser.add_argument("--fit-anew", nargs="*", default=["demo"], help="data sets for that check")
    return parser.parse_args()


def _experiment(name: str, policy: str, arguments: argparse.Namespace) -> Experiment:
    changes = {
        "dataset.name": name,
        "dataset.filter": "k-core" if name == "demo" else "paper",
        "protocol.targets.n_targets": N_TARGETS,
        "n_users": N_USERS,
    }
    options = ExperimentOptions(policy=policy).changed(changes)
    return Experiment(options, arguments.store, data_dir=arguments.data_dir)


def measured(experiment: Experiment, n_decisions: int) -> dict[str, Any]:
    """Flips and lost score when items are left out, over decisions drawn from a run."""
    explainer = Explainer(experiment.replay(), experiment.item_vectors)
    log, rng = experiment.log, generator(0, "explanations")
    rows, rounds = log.is_shown.nonzero()
    drawn = rng.choice(len(rows), min(n_decisions, len(rows)), replace=False)
    drawn = drawn[rounds[drawn].argsort(kind="stable")]
    moments = [explainer.moment(int(rows[at]), int(rounds[at]) + 1) for at in drawn]
    told = [moment for moment in moments if moment.is_explained]
    users = [int(moment.view.journeys.user) for moment in told]
    unit_items = F.normalize(experiment.item_vectors, dim=1)
    found = [_one(moment, unit_items, rng) for moment in told]
    weights = bootstrap_weights(experiment.dataset.n_users)

    def share(values: Sequence[float]) -> dict[str, float]:
        top, bottom = (
            np.bincount(users, given, experiment.dataset.n_users)[:, None].astype(np.float64)
            for given in (np.array(values, float), np.ones(len(users)))
        )
        everybody = Sums.of_users(np.arange(experiment.dataset.n_users), top, bottom)
        return ratio_estimates(everybody, weights)[0].as_dict()

    return {
        "dataset": experiment.dataset.name,
        "policy": experiment.options.policy,
        "n_decisions": len(moments),
        "n_explained": len(told),
        "n_named": float(np.mean([one["n_named"] for one in found])),
        "n_read": float(np.mean([len(moment.history) for moment in told])),
        "flips": {name: share([one["flips"][name] for one in found]) for name in METHODS},
        "lost": {name: float(np.median([one["lost"][name] for one in found])) for name in METHODS},
        "by_limit": {
            str(limit): share([one["enough"] <= limit for one in found])
            for limit in range(1, N_CAUSES + 1)
        },
    }


def _one(moment: Moment, unit_items: torch.Tensor, rng: np.random.Generator) -> dict[str, Any]:
    """Of one decision: what leaving out as many items does, chosen by every method."""
    named, history = moment.causes(N_CAUSES), np.array(list(moment.history))
    n = len(named)
    order = moment.lead([(int(item),) for item in history]).argsort().numpy()
    near = (unit_items[history] @ unit_items[moment.item_idx]).argsort(descending=True).numpy()
    sets = {
        NAMED: [named],
        ONCE: [tuple(history[order[:n]].tolist())],
        NEWEST: [tuple(history[::-1][:n].tolist())],
        NEAREST: [tuple(history[near[:n]].tolist())],
        RANDOM: [tuple(rng.choice(history, n, replace=False).tolist()) for _ in range(N_DRAWS)],
    }
    before = float(moment.weighed([()])[0, moment.item_idx])
    flips, lost = {}, {}
    for name, gone in sets.items():
        after = moment.weighed(gone)[:, moment.item_idx].double().numpy()
        flips[name] = float((moment.lead(gone) < 0).double().mean())
        lost[name] = float(np.median((before - after) / abs(before)))
    enough = (n for n in range(1, N_CAUSES + 1) if moment.lead([moment.causes(n)]) < 0)
    return {"n_named": n, "flips": flips, "lost": lost, "enough": next(enough, N_CAUSES + 1)}


def fitted_anew(experiment: Experiment) -> dict[str, float]:
    """Interest in items left out of histories: as foresight estimates it, and after a new fit.

    Half of the users lose three random items of their train history; the first of foresight's own
    models is fitted again with the same seed. The others tell how much a new fit moves by itself.
    """
    policy, data = experiment.fitting.policy_kind.build(experiment.fitting), experiment.dataset
    assert isinstance(policy, Foresight)
    rng, known = generator(0, "explanations fit"), data.before("train")
    users = np.flatnonzero(known.lengths >= 2 * N_LEFT_OUT)
    gone = np.stack([rng.choice(known.of(int(u)), N_LEFT_OUT, replace=False) for u in users])
    is_left_out = rng.random(len(users)) < 0.5
    seed = int(generator(experiment.seed, "foresight", 0).integers(2**31))
    models = [
        fit_graphau(of, policy.options.graphau, seed=seed)[0]
        for of in (data, _without(data, users[is_left_out], gone[is_left_out]))
    ]
    own = Foresight(models[0], data.train_counts, known, policy.options)
    at, out = torch.from_numpy(users), torch.from_numpy(gone)
    start, imagined = (
        own.place(Journeys.begun(train_users(of), at, torch.zeros_like(at), 1))
        for of in (data, _without(data, users, gone))
    )

    def interest(places: torch.Tensor, items: torch.Tensor) -> FloatArray:
        return (places[:, None] * items[out]).sum(2).mean(1).double().numpy()  # (n_users,)

    before = interest(start, models[0].item_vectors)
    change = interest(imagined, models[0].item_vectors) - before
    really = interest(models[1].user_vectors[at], models[1].item_vectors) - before
    return {
        "n_users": len(users),
        "estimated": float(change[is_left_out].mean()),
        "fitted": float(really[is_left_out].mean()),
        "fitted_others": float(really[~is_left_out].mean()),
        "correlation": float(np.corrcoef(change[is_left_out], really[is_left_out])[0, 1]),
    }


def _without(data: Dataset, users: IntArray, gone: IntArray) -> Dataset:
    """The data set less these train items of these users."""
    n_rows, of_all = data.n_items + 1, data.histories
    keys = of_all.user_idx * n_rows + of_all.item_idx
    kept = ~np.isin(keys, (users[:, None] * n_rows + gone).ravel())
    lengths = np.bincount(of_all.user_idx[kept], minlength=data.n_users)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    left = Histories(offsets, of_all.item_idx[kept])
    return replace(data, histories=left, timestamps=data.timestamps[kept])


def _body(rows: list[dict[str, Any]], checks: dict[str, dict[str, float]]) -> str:
    lines = [
        f"{N_USERS} users, {N_TARGETS} targets, seed 0, world `common`. Of every run, decisions "
        f"are drawn at random; for each at most {N_CAUSES} items of the history are named. Then as "
        "many items are left out of the history, and the policy is asked again, all else equal. "
        "**Changed**: share of decisions in which another item is then shown (95 % bootstrap "
        "interval over users). **Lost**: what the item shown loses of its score, median; inf: the "
        "policy no longer considers it.",
        "",
        "- named: what `proactrec explain` names. The item without which most of the lead over the "
        "next best is gone, then the one that takes most of what is left, until another item "
        "leads; where that does not suffice, the newest items.",
        "- singly: the items that take most of the lead one by one.",
        "- newest: the items that were taken last.",
        "- nearest: the items nearest to the one shown, by cosine of the run's item vectors.",
        f"- random: mean of {N_DRAWS} draws.",
        "",
        f"| data | policy | decisions | items read | items named | {' | '.join(METHODS)} |",
        "| --- " * (5 + len(METHODS)) + "|",
    ]
    for row in rows:
        cells = [
            f"{_interval(row['flips'][name])}, lost {row['lost'][name]:.0%}" for name in METHODS
        ]
        lines.append(
            f"| {row['dataset']} | {row['policy']} | {row['n_explained']} of {row['n_decisions']} "
            f"| {row['n_read']:.0f} | {row['n_named']:.1f} | {' | '.join(cells)} |"
        )
    lines += [
        "",
        "Changed, by the most items that may be named:",
        "",
        f"| data | policy | {' | '.join(str(n) for n in range(1, N_CAUSES + 1))} |",
        "| --- " * (2 + N_CAUSES) + "|",
    ]
    lines += [
        f"| {row['dataset']} | {row['policy']} | "
        f"{' | '.join(_interval(share) for share in row['by_limit'].values())} |"
        for row in rows
    ]
    if checks:
        lines += [
            "",
            "Foresight's vector of a user is learnt, so leaving an item out is estimated "
            "(`Foresight._start`). Beside it a new fit, same seed, without three random items of "
            "half of the users: mean change of interest in those items.",
            "",
            "| data | users | estimated | fitted anew | fitted anew, users who lost nothing "
            "| correlation over users |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
    lines += [
        f"| {name} | {one['n_users']} | {one['estimated']:+.3f} | {one['fitted']:+.3f} "
        f"| {one['fitted_others']:+.3f} | {one['correlation']:.2f} |"
        for name, one in checks.items()
    ]
    return "\n".join(lines)


def _interval(share: dict[str, float]) -> str:
    return f"{share['mean']:.3f} ({share['low']:.3f}–{share['high']:.3f})"


if __name__ == "__main__":
    main()
