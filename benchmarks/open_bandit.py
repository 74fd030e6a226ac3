"""Off-policy estimates on real logs: two policies of one shop, each from the other's log.

Usage: python benchmarks/open_bandit.py docs/results/open-bandit.md --data ../shared/data
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from proactrec.measurement.bootstrap import Estimate
from proactrec.measurement.off_policy import Logged, OffPolicy, cross_fitted, off_policy
from proactrec.types import FloatArray, IntArray
from shared.page import origin, page_parser, write_page

N_ITEMS, N_POSITIONS = 34, 3
KEPT = (0.03, 0.3, 1.0)
"""Shares of a log, to see gates speak up."""
NAMES = {"random": "uniform", "bts": "Thompson sampling", "half": "half of each"}
POLICIES = ("random", "bts")
PAIRS = (("random", "bts"), ("bts", "random"), ("half", "bts"), ("half", "random"))
"""Policy, and whose log it is estimated from."""


class Log(NamedTuple):
    """Decisions of one policy, (n,)."""

    item_idx: IntArray  # from 0
    position: IntArray  # from 0
    click: FloatArray
    propensity: FloatArray


def main() -> None:
    """Estimate, and write the page."""
    parser = page_parser(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    folder = arguments.data / "open-bandit"
    if not folder.is_dir():
        sys.exit(f"skipped: the logs of Open Bandit are not at {folder}")
    logs = {name: read(folder / f"{name}-men.csv.gz") for name in POLICIES}
    rows = [row for pair in PAIRS for row in estimated(logs, *pair)]
    content = {"origin": origin(), "rows": rows}
    write_page(arguments.page, "Off-policy estimates on Open Bandit", content, body(rows))


def read(path: Path) -> Log:
    """A log as its publisher wrote it."""
    table = pl.read_csv(path)
    item, position, click, propensity = (
        table[name].to_numpy() for name in ("item_id", "position", "click", "propensity_score")
    )
    return Log(
        item.astype(np.int64), position.astype(np.int64) - 1, click.astype(float), propensity
    )


def chances(log: Log) -> FloatArray:
    """How often a policy shows each item at each position, by its own log: (n_positions, n_items).

    Thompson sampling learned meanwhile; this is its mean over the week.
    """
    cells = log.position * N_ITEMS + log.item_idx
    counts = np.bincount(cells, minlength=N_POSITIONS * N_ITEMS).reshape(N_POSITIONS, N_ITEMS)
    found: FloatArray = counts / counts.sum(1, keepdims=True)
    return found


def estimated(logs: dict[str, Log], name: str, source: str) -> list[dict[str, Any]]:
    """A policy from one log, and from the first parts of it."""
    log = logs[source]
    uniform = np.full((N_POSITIONS, N_ITEMS), 1 / N_ITEMS)
    parts = {"random": [uniform], "bts": [chances(logs["bts"])]}
    parts["half"] = parts["random"] + parts["bts"]
    policy = np.mean(parts[name], axis=0)[log.position]  # (n, n_items)
    wanted = policy[np.arange(len(log.click)), log.item_idx]
    if (name, source) == ("half", "bts"):  # its true chances are known, not only their mean
        wanted = (1 / N_ITEMS + log.propensity) / 2
    found = []
    for share in KEPT:
        n = int(share * len(log.click))
        some = Log(log.item_idx[:n], log.position[:n], log.click[:n], log.propensity[:n])
        predicted = cross_fitted(some.item_idx, some.click, policy[:n], np.arange(n))
        told = off_policy(Logged(some.click, some.propensity, wanted[:n]), predicted)
        found.append(row_of(name, source, share, told, mean_of(logs, name)))
    return found


def mean_of(logs: dict[str, Log], name: str) -> dict[str, float]:
    """Mean clicks of a policy's own log, whose weights are all 1; of half and half: of both."""
    names = list(POLICIES) if name == "half" else [name]
    clicks = [logs[one].click for one in names]
    alone = [np.full(len(one), 1.0) for one in clicks]
    own = [off_policy(Logged(c, w, w)).estimates["ips"] for c, w in zip(clicks, alone, strict=True)]
    mean = float(np.mean([one.mean for one in own]))
    reach = float(np.sqrt(sum((one.high - one.mean) ** 2 for one in own))) / len(own)
    return Estimate(mean, mean - reach, mean + reach).as_dict()


def row_of(
    name: str, source: str, share: float, told: OffPolicy, own_mean: dict[str, float]
) -> dict[str, Any]:
    """As the page and its JSON have it."""
    estimates = {key: one.as_dict() for key, one in told.estimates.items()}
    return {
        "policy": name, "log": source, "share": share, "own_mean": own_mean, **told._asdict(),
        "estimates": estimates,
    }  # fmt: skip


def body(rows: list[dict[str, Any]]) -> str:
    """The page's text."""
    lines = [
        "A fashion shop's front page in November 2019, campaign “men”: 10,000 decisions each of a "
        "uniform policy and of one that learned (Thompson sampling), with the chance that each "
        "shown item had ([Saito et al. 2020](https://arxiv.org/abs/2008.07146), the small "
        "version). Each policy's clicks are estimated from the other's log and stand beside the "
        "mean of its own; so are those of a policy that goes by either, half of the time. Thompson "
        "sampling's chances in the uniform log are its own log's shares by position; that these "
        "are estimates too is in no interval. Doubly robust: with mean clicks of items, "
        "cross-fitted in 5 folds. Intervals: 95 %, per thousand decisions.",
        "",
        "| policy | from the log of | decisions | worth | largest weight | inverse propensity "
        "| self-normalised | doubly robust | own mean |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        told = [_interval(row["estimates"][key]) for key in row["estimates"]]
        told = told or [f"refused: {row['refused']}", "", ""]
        cells = [
            NAMES[row["policy"]], NAMES[row["log"]], f"{row['n_decisions']:,}",
            f"{row['effective_size']:,.0f}", f"{row['largest_weight']:.1f}", *told,
            _interval(row["own_mean"]),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(one: dict[str, float]) -> str:
    return "{:.1f} ({:.1f} to {:.1f})".format(*(1000 * one[k] for k in ("mean", "low", "high")))


if __name__ == "__main__":
    main()
