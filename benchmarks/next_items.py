"""How long `proactrec next` takes for 10,000 users of 20,000 items, and a decision for one user.

Usage: python benchmarks/next_items.py [--n-items 20000] [--n-users 12000] [--policy foresight]
       [--folder runs/next-items] [--page PAGE.md]
Events are generated; a guide is fitted on them, briefly, unless the folder holds it. Then today's
events of the first ten in twelve users, a tenth of whom came after the fit, are read from Parquet
and everybody is led to one item: one child process. In another the guide is opened once and asked
for one user at a time, with three rounds behind and others before it, as a service would.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from proactrec.files import read_json, replacing
from proactrec.guidance.past import no_journeys
from proactrec.guidance.saved import ABOUT, open_guide
from proactrec.guidance.tomorrow import People
from proactrec.journeys import Journeys
from proactrec.rng import generator
from shared.child import taken
from shared.page import origin, write_page

N_EVENTS, N_TODAY, N_FIRST = 30, 3, 15
"""Events of a user before the fit; today's of a known user, and of one who came later."""
N_DECISIONS, N_PAST, N_ROUNDS = 300, 3, 20
MS_LIMIT = 2.0
SHORT = (
    "graphau.stopping.n_epochs=1",
    "encoder_options.stopping.n_epochs=1",
    "policy_options.graphau.stopping.n_epochs=1",
)
"""Training: speed does not ask how good models are."""


def main() -> None:
    """Generate and fit what is missing, measure, and write the page if asked."""
    arguments = _arguments()
    if arguments.one_user:
        print(json.dumps(one_user(arguments.folder)))
        return
    guide = fitted(arguments)
    load = os.getloadavg()[0]
    table = arguments.folder / "next.parquet"
    events = ["--events", str(arguments.folder / "today.parquet")]
    target = ["--target", item_ids(arguments.n_items)[-1]]
    done = taken([*proactrec(), "next", str(guide), *events, *target, "--out", str(table)])
    asked = taken([sys.executable, *sys.argv, "--one-user"])
    if done.code or asked.code:
        raise SystemExit(done.code or asked.code)
    found = {
        "about": read_json(guide / ABOUT),
        "n_rows": pl.read_parquet(table).height,
        "next": {"seconds": done.seconds, "cpu_seconds": done.cpu_seconds, "gib": done.gib},
        "one_user": json.loads(asked.out),
        "load_before": load,
    }
    body = page(found)
    print(body)
    if arguments.page:
        write_page(arguments.page, "What to show next", {"origin": origin(), **found}, body)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-items", type=int, default=20_000)
    parser.add_argument("--n-users", type=int, default=12_000)
    parser.add_argument("--policy", default="foresight")
    parser.add_argument("--folder", type=Path, default=Path("runs/next-items"))
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--one-user", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def proactrec() -> list[str]:
    """The command, by this Python."""
    return [sys.executable, "-c", "from proactrec.cli.main import main; main()"]


def fitted(arguments: argparse.Namespace) -> Path:
    """The guide's folder, made with all that it is made from if it is not there."""
    folder: Path = arguments.folder
    guide: Path = folder / arguments.policy
    shop = folder / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    steps: list[list[str]] = []
    if not (folder / "today.parquet").exists():
        generate(folder, arguments.n_items, arguments.n_users)
    if not shop.exists():
        files = [str(folder / "events.parquet"), "--items", str(folder / "items.csv")]
        steps.append(["data", "import", *files, "--out", str(shop), "--yes"])
    if not guide.exists():
        about = ["--dataset", str(shop), "--policy", arguments.policy, "--out", str(guide)]
        options = [part for text in SHORT for part in ("--set", text)]
        steps.append(["guide", "fit", *about, *options])
    for step in steps:
        print(" ".join(("proactrec", *step)), flush=True)
        if taken([*proactrec(), *step]).code:
            raise SystemExit(1)
    return Path(guide)


def generate(folder: Path, n_items: int, n_users: int) -> None:
    """Events before the fit, today's, and the catalogue; today's file comes last."""
    rng, ids = generator(0, "next items"), np.array(item_ids(n_items))
    n_asked = n_users * 10 // 12
    is_new = np.arange(n_users) >= n_users - n_asked // 10
    users = np.array([f"u{user:06}" for user in rng.permutation(n_users)])
    kinds = [f"kind {number % 20}" for number in range(n_items)]
    catalogue = {"item_id": ids, "title": [f"Item {name}" for name in ids], "category": kinds}
    pl.DataFrame(catalogue).write_csv(folder / "items.csv")
    lengths = np.where(is_new, 0, N_EVENTS)
    _events(rng, users, lengths, ids, day=0).write_parquet(folder / "events.parquet")
    lengths = np.where(is_new, N_FIRST, N_TODAY) * (np.arange(n_users) >= n_users - n_asked)
    with replacing(folder / "today.parquet") as partial:
        _events(rng, users, lengths, ids, day=100).write_parquet(partial)


def item_ids(n_items: int) -> list[str]:
    """Ids of the items that are generated."""
    return [f"sku-{number:05}" for number in range(n_items)]


def _events(rng: np.random.Generator, users: Any, lengths: Any, ids: Any, day: int) -> pl.DataFrame:
    """Of each user, so many with items of which a few are had by many."""
    n, n_items = int(lengths.sum()), len(ids)
    often = (rng.pareto(1.1, n) * n_items / 300).astype(np.int64) % n_items
    item = np.where(rng.random(n) < 0.3, often, rng.integers(0, n_items, n))
    start = 1_700_000_000 + day * 86_400
    moment = start + np.sort(rng.integers(0, 90 * 86_400, n))
    user = rng.permutation(np.repeat(users, lengths))
    return pl.DataFrame({"user_id": user, "item_id": ids[item], "timestamp": moment})


def one_user(folder: Path) -> dict[str, Any]:
    """CPU milliseconds of decisions, each for another user alone."""
    torch.set_num_threads(1)
    guide = next(path.parent for path in folder.glob(f"*/{ABOUT}"))
    start = time.process_time()
    saved = open_guide(guide)
    opened = time.process_time() - start
    some = saved.known.user_ids[:N_DECISIONS]
    people = People.of(saved, pl.read_parquet(folder / "today.parquet").head(0), some)
    everybody = people.journeys(no_journeys(), saved.guide.items.item_ids[-1:], N_ROUNDS)
    journeys = [_on_the_way(everybody.of(slice(row, row + 1))) for row in range(N_DECISIONS)]
    spent = []
    for journey in journeys:
        start = time.process_time()
        saved.guide.decide(journey)
        spent.append(1e3 * (time.process_time() - start))
    low, middle, high = np.quantile(spent[N_DECISIONS // 10 :], [0.1, 0.5, 0.9])
    return {"open_seconds": opened, "low": low, "median": middle, "high": high}


def _on_the_way(journey: Journeys) -> Journeys:
    """A journey after some rounds, of which every second was accepted."""
    for number in range(N_PAST):
        item_idx = torch.tensor([1 + number])
        taken_too = torch.tensor([number % 2 == 0])
        journey = journey.after(item_idx, taken_too, item_idx > 0)
    return journey


def page(found: dict[str, Any]) -> str:
    """Markdown: the command, and a decision."""
    about, spent, one = found["about"], found["next"], found["one_user"]
    return "\n".join(
        [
            f"A guide of `{about['policy']}` that knows {about['n_items']:,} items and "
            f"{about['n_users']:,} users; load of the machine before: {found['load_before']:.1f} "
            f"on {os.cpu_count()} cores.",
            "",
            "| what | seconds | CPU seconds | most memory, GiB |",
            "| --- | ---: | ---: | ---: |",
            f"| `proactrec next` for {found['n_rows']:,} users, from Parquet to Parquet "
            f"| {spent['seconds']:.1f} | {spent['cpu_seconds']:.1f} | {spent['gib']:.2f} |",
            "",
            "| one user at a time, through the library, one thread | CPU |",
            "| --- | ---: |",
            f"| open the guide, once | {one['open_seconds']:.2f} s |",
            f"| a decision, after {N_PAST} rounds: median of {N_DECISIONS} users "
            f"| {one['median']:.2f} ms |",
            f"| from the fastest tenth to the slowest | {one['low']:.2f} to {one['high']:.2f} ms |",
            "",
            f"The aim for one decision is {MS_LIMIT:.0f} ms.",
        ]
    )


if __name__ == "__main__":
    main()
