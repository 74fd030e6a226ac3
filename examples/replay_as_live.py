r"""A log told again as live traffic: a service guides its users, the log says what they would take.

    python examples/replay_as_live.py split movietweetings --data-dir data --out films
    proactrec guide fit --dataset csv --events films/before.csv --items films/items.csv \\
        --out guides/films
    proactrec serve --guide guides/films                 # prints a key
    python examples/replay_as_live.py play films --key KEY --category Thriller

The guide is fitted on the log up to a moment; what came after it is played, in its order. Whenever
a user did something, they ask first. What is shown is accepted if the user did take it later in the
log, and skipped if not; then what they really took is reported as a purchase. That is all that a
log can say: nobody knows what its users would have answered to other items.
"""

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl

import proactrec as pr


def split(dataset: pr.Dataset, folder: Path, share: float = 0.9) -> None:
    """Write the log before and after a moment, and its items."""
    folder.mkdir(parents=True, exist_ok=True)
    items = dataset.items
    user, item = dataset.histories.rows(np.arange(dataset.n_users))
    log = pl.DataFrame(
        {
            "user_id": [dataset.user_ids[row] for row in user],
            "item_id": [items.item_ids[row - 1] for row in item],
            "timestamp": dataset.timestamps,
        }
    ).sort("timestamp", maintain_order=True)
    n_before = int(share * log.height)
    log[:n_before].write_csv(folder / "before.csv")
    log[n_before:].write_csv(folder / "after.csv")
    categories = ["|".join(names) for names in items.categories]
    about = {"item_id": items.item_ids, "title": items.titles, "categories": categories}
    pl.DataFrame(about).write_csv(folder / "items.csv")


def play(client: pr.Client, after: pl.DataFrame) -> Counter[str]:
    """Every row of a log as a visit; how often what became of a decision."""
    users = after["user_id"].to_list()
    later: dict[str, list[str]] = {}
    for user, item in zip(users, after["item_id"].to_list(), strict=True):
        later.setdefault(user, []).append(item)
    found: Counter[str] = Counter()
    for number, user in enumerate(users):
        one, bought = client.decide(user), later[user].pop(0)
        taken = one.item_id == bought or one.item_id in later[user]
        found[f"{'guided' if one.guided else 'plain'}, {'taken' if taken else 'skipped'}"] += 1
        answer = pr.EventReport(
            event_id=f"answer {number}",
            user_id=user,
            kind="accept" if taken else "skip",
            decision_id=one.decision_id,
            item_id=str(one.item_id),
        )
        purchase = pr.EventReport(
            event_id=f"log {number}", user_id=user, kind="purchase", item_id=bought
        )
        client.report([answer, purchase])
    return found


def main() -> None:
    """Split a log, or play what came after."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["split", "play"])
    parser.add_argument("source", help="data set to split, or folder to play from")
    parser.add_argument("--data-dir", help="folder of data sets")
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument("--api", default="http://127.0.0.1:8080")
    parser.add_argument("--key")
    parser.add_argument("--category", help="where users are led")
    parser.add_argument("--n", type=int, default=2000, help="visits, at most")
    asked = parser.parse_args()
    if asked.what == "split":
        split(pr.load_dataset(asked.source, data_dir=asked.data_dir), asked.out)
        return
    after = pl.read_csv(Path(asked.source) / "after.csv", infer_schema=False)[: asked.n]
    with pr.Client(asked.api, asked.key) as client:
        goal = pr.Goal(category=asked.category)
        said = pr.Campaign(name=f"{asked.category}, replayed", goal=goal)
        campaign = client.start(client.create(said).id, without_forecast="a replay").id
        for what, n in play(client, after).most_common():
            print(f"{n:6,} {what}")
        for name, arm in client.campaign(campaign).arms.items():
            print(f"{name}: {arm.users:,} users, {arm.guided:,} guided, {arm.accepted:,} accepted")


if __name__ == "__main__":
    main()
