"""Whether guidance still computes what it computed: a matrix of runs, recorded and played again.

Usage: python benchmarks/same_results.py RECORD.json [--store runs/same-results] [--threads 1]
    [--data-dir DIR] [--only TEXT]
python benchmarks/same_results.py PAGE.md --against RECORD.json [the same]
Models are trained, briefly, where the store has none, and used again otherwise; guidance is always
played anew. So a record says something of later code only if it plays with the same store. The
second form ends with 1 if a cell differs. `--only` plays the cells whose name holds a text.
`--by-positions` draws plain rounds, opt-outs and random items by positions of users and items, as
guidance did before it went by hashed ids: so what else changed can be told apart.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from proactrec import Experiment, ExperimentOptions
from shared.page import origin, write_page

Changes = dict[str, Any]
Row = dict[str, Any]
TOLERANCE = 1e-6
SHORT = {"n_epochs": 6, "min_epochs": 1}
BASE: Changes = {"graphau.stopping": SHORT, "encoder_options": {"stopping": SHORT}}
MODELS: dict[str, Changes] = {
    "foresight": {"policy_options.graphau": {"stopping": SHORT}},
    "irn": {"policy_options.model": {"stopping": SHORT}},
}
POLICIES = (
    "itmprec",
    "foresight",
    "ipg",
    "next-item",
    "irn",
    "nearest-to-target",
    "target-now",
    "popular",
    "random",
    "oracle-greedy",
    "oracle-lookahead",
)
DATA: dict[str, Changes] = {
    "demo": {"dataset.name": "demo", "protocol.targets.n_targets": 3, "n_users": 120},
    "ml-100k": {"dataset.name": "ml-100k", "protocol.targets.n_targets": 2, "n_users": 120},
}
RAILED = ("itmprec", "foresight", "next-item", "oracle-lookahead", "irn")
"""Policies that are played within rails outside demo's common protocol as well."""
OF_CATEGORIES: dict[str, Changes] = {
    "demo": {
        "rails.forbidden_categories": ("Documentary",),
        "rails.protected_categories": ("Mystery",),
        "rails.category_caps": {"Comedy": 4, "Adventure": 5},
    },
    "ml-100k": {
        "rails.forbidden_categories": ("Western",),
        "rails.protected_categories": ("Thriller",),
        "rails.category_caps": {"Comedy": 4, "Drama": 5},
    },
}
"""Rails by category: no target is of a forbidden or protected one, some are of a capped one."""
RAILS: Changes = {
    "rails.relevance_floor": 0.1,
    "rails.plain_share": 0.25,
    "rails.guided_budget": 10,
    "rails.pause_after": 3,
    "rails.stop_after": 8,
    "rails.item_cap": 2,
    "rails.opt_out_share": 0.1,
}
SHARED: Changes = {
    "rails.item_cap_per_round": 8,
    "rails.item_cap_total": 40,
    "rails.daily_cap": 6,
    "rails.rounds_per_day": 5,
    "rails.guided_pairs": 0.5,
    "rails.equal_groups": "activity",
    "rails.plain_share": 0.2,
}
VARIANTS: dict[str, Changes] = {
    "bare": {},
    "rails": RAILS,
    "shared": SHARED,
    "slates": {"protocol.world.n_slots": 3, "protocol.world.position_decay": 0.8},
    "boredom": {"protocol.world.boredom": 2.0},
    "patience": {"protocol.world.patience": 4},
}
BLOCKS: dict[str, Changes] = {
    "blocks": {"n_users": 400},
    "blocks-shared": {"n_users": 400, **SHARED},
}
"""So many users of demo that a rollout has more than one block."""
OF_POLICY: dict[str, dict[str, Changes]] = {
    "foresight": {
        "acceptance": {"rails.acceptance_floor": 0.4},
        "acceptance-shared": {"rails.acceptance_floor": 0.4, **SHARED},
        "worth-0": {"policy_options.worth.step": 0.0},
        "optimism": {"policy_options.optimism": 1.0},
        "one-view": {"policy_options.other_views": []},
        "no-learning": {"policy_options.learns": False},
        **BLOCKS,
    },
    "irn": {
        "replan": {"policy_options.mode": "replan"},
        "replan-rails": {"policy_options.mode": "replan", **RAILS},
        "replan-shared": {"policy_options.mode": "replan", **SHARED},
    },
    "itmprec": {"no-TIAC": {"without": ("TIAC",)}, "no-IIS": {"without": ("IIS",)}, **BLOCKS},
}
LOG = (
    "user_idx",
    "target_idx",
    "item_idx",
    "accept_prob",
    "accepted",
    "interest",
    "rank",
    "is_counted",
    "slate",
    "guided",
)


def main() -> None:
    """Record, or play again and compare."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.by_positions:
        draw_by_positions()
    start = time.process_time()
    rows = played(arguments)
    content = {
        "origin": origin(),
        "threads": arguments.threads,
        "cpu_seconds": round(time.process_time() - start, 1),
        "models": models_of(arguments.store),
    }
    if arguments.against is None:
        write_record(arguments.out, {**content, "rows": rows})
        return
    before = json.loads(arguments.against.read_text())
    wanted = {name: row for name, row in before["rows"].items() if arguments.only in name}
    verdicts = {name: verdict(wanted.get(name), rows.get(name)) for name in {**wanted, **rows}}
    kinds = {name.partition("-")[0] for name in before["models"]}  # others are made of these since
    trained = [
        name
        for name, was in content["models"].items()
        if before["models"].get(name) != was and name.partition("-")[0] in kinds
    ]
    body = said(verdicts, before["origin"], trained)
    content |= {"before": before["origin"], "verdicts": verdicts}
    write_page(arguments.out, "Guidance computes what it computed", content, body)
    print(body)
    sys.exit(any(text.startswith("different") for text in verdicts.values()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="record to write, or page with --against")
    parser.add_argument("--against", type=Path, help="record to compare with")
    parser.add_argument("--store", type=Path, default=Path("runs/same-results"))
    default = Path(os.environ.get("PROACTREC_DATA", "../shared/data"))
    parser.add_argument("--data-dir", type=Path, default=default)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--by-positions", action="store_true", help="how guidance drew before")
    parser.add_argument("--only", default="", help="text in the names of cells to play")
    return parser.parse_args()


def cells() -> Iterator[tuple[str, str, Changes]]:
    """Name, protocol and changes of every run of the matrix."""
    for data, of_data in DATA.items():
        for policy in POLICIES:
            for protocol in ("common", "paper", "official"):
                for variant, changes in {**VARIANTS, **OF_POLICY.get(policy, {})}.items():
                    if not is_played(data, policy, protocol, variant):
                        continue
                    own = {"policy": policy, **MODELS.get(policy, {})}
                    of_categories = OF_CATEGORIES[data] if RAILS.items() <= changes.items() else {}
                    name = f"{data} {protocol} {policy} {variant}"
                    yield name, protocol, {**BASE, **of_data, **own, **changes, **of_categories}


def is_played(data: str, policy: str, protocol: str, variant: str) -> bool:
    """Whether a cell is of the part of the matrix that its data set and protocol have.

    Slates are legal only without rails and with luck per pair, not in the official protocol.
    """
    if variant == "bare" or (data == "demo" and protocol == "common"):
        return variant != "no-TIAC"  # which is off in common
    if variant in ("rails", "shared"):
        return policy in RAILED and (data == "demo" or protocol == "common")
    if variant == "slates":
        return data == "demo" and protocol == "paper"
    return data == "demo" and variant in OF_POLICY.get(policy, {}).keys() - BLOCKS.keys()


def options_of(protocol: str, changes: Changes) -> ExperimentOptions:
    """Options of a cell."""
    plain = ExperimentOptions()
    # The named protocols stand beside their class, wherever that is.
    protocols = sys.modules[type(plain.protocol).__module__].PROTOCOLS
    return plain.model_copy(update={"protocol": protocols[protocol]}).changed(changes)


def played(arguments: argparse.Namespace) -> dict[str, Row]:
    """Every cell, by its name; guidance that the store has is forgotten first."""
    for kind in ("guidance", "figures"):
        for folder in arguments.store.glob(f"{kind}-*"):
            shutil.rmtree(folder)
    rows = {}
    for name, protocol, changes in cells():
        if arguments.only not in name:
            continue
        start = time.process_time()
        options = options_of(protocol, changes)
        rows[name] = row_of(Experiment(options, arguments.store, data_dir=arguments.data_dir))
        print(f"{time.process_time() - start:6.1f} CPU-s  {name}", flush=True)
    return rows


def row_of(experiment: Experiment) -> Row:
    """Hashes of a run's log, its figures at the last round and what the policy says of it."""
    log, metrics = experiment.log, experiment.figures["metrics"]
    return {
        "items": hash_of(log, ("slate", "guided", "accepted")),
        "log": hash_of(log, LOG),
        **{name: metrics[name]["20"]["mean"] for name in ("hr", "ioi", "ior")},
        "notes": notes_of(experiment.result()),
    }


def draw_by_positions() -> None:
    """Let guidance draw by positions of users and items, as it did before it went by their ids."""
    from proactrec.data.items import Items
    from proactrec.guidance import course, recorded
    from proactrec.rng import generator

    def opted_out(rails: Any, user_ids: Any, *, seed: int) -> Any:
        drawn = generator(seed, "opt-out").random(len(user_ids)) < rails.opt_out_share
        return drawn | np.isin(user_ids, rails.opt_out)

    recorded.keys_of = lambda ids: np.arange(len([*ids]))  # type: ignore[attr-defined]
    course.opted_out = opted_out  # type: ignore[attr-defined]
    Items.key = property(lambda items: np.arange(len(items) + 1))  # type: ignore[assignment]


def notes_of(result: Any) -> Any:
    """What a policy says of a run; results were dicts once."""
    return result["policy_notes"] if isinstance(result, dict) else result.policy_notes


def hash_of(log: object, names: tuple[str, ...]) -> str:
    """SHA-256 of the bytes of these arrays."""
    found = hashlib.sha256()
    for name in names:
        found.update(np.ascontiguousarray(getattr(log, name)).tobytes())
    return found.hexdigest()


def models_of(store: Path) -> dict[str, str]:
    """SHA-256 of the weights of every model in a store."""
    paths = (path for path in sorted(store.glob("*/*.safetensors")) if path.stem != "trace")
    return {
        f"{path.parent.name}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def verdict(before: Row | None, now: Row | None) -> str:
    """Whether two rows of a cell are of the same bytes, of the same items, or what differs."""
    if before is None or now is None:
        return f"different: {'not recorded' if before is None else 'not played'}"
    if before == json.loads(json.dumps(now)):
        return "identical"
    differs = [name for name in before if name != "log" and not is_close(before[name], now[name])]
    return f"different: {', '.join(differs)}" if differs else "same items"


def is_close(before: Any, now: Any) -> bool:
    """Whether nested content is the same, numbers within the tolerance."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return before.keys() == now.keys() and all(is_close(before[k], now[k]) for k in before)
    if isinstance(before, list | tuple) and isinstance(now, list | tuple):
        pairs = zip(before, now, strict=False)
        return len(before) == len(now) and all(is_close(a, b) for a, b in pairs)
    if isinstance(before, float) and isinstance(now, float):
        return before == now or abs(before - now) <= TOLERANCE
    return bool(before == now)


def said(verdicts: Mapping[str, str], before: Mapping[str, str], trained: list[str]) -> str:
    """Markdown: counts, models that are not the recorded ones, the cells that are not identical."""
    counts = Counter(text.partition(":")[0] for text in verdicts.values())
    total = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    lines = [
        f"{len(verdicts)} runs beside those of commit `{before['commit'][:12]}`: {total}. "
        "Identical: every byte of the log, figures and notes. Same items: what was shown, whether "
        f"guided, and every answer; figures and notes within {TOLERANCE:g}.",
        *(["", f"Not with the recorded models: {', '.join(trained)}."] if trained else []),
        *(["", "| run | verdict |", "| --- | --- |"] if counts.keys() - {"identical"} else []),
        *(f"| {name} | {text} |" for name, text in verdicts.items() if text != "identical"),
    ]
    return "\n".join(lines)


def write_record(path: Path, content: dict[str, Any]) -> None:
    """JSON with a line for every run."""
    rows = content.pop("rows")
    lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
    head = json.dumps(content, indent=1).removesuffix("\n}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(head + ',\n "rows": {\n' + ",\n".join(lines) + "\n }\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
