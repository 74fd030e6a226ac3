"""What an import found, in numbers; ready for JSON and for the data report."""

from typing import Any

import numpy as np
import polars as pl

from proactrec.data.clock import iso
from proactrec.data.describe import Chart, long_tail
from proactrec.data.importing.behaviour import DAY, MICROSECONDS
from proactrec.data.trees import with_ancestors
from proactrec.types import IntArray

K = 5
"""Fewest interactions of a user and an item in the default filter."""
LENGTHS = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
MOST_PERIODS = 24
WIDTHS = (1, 7, 14, 30, 91, 365, 3650)
"""Days that a bar of activity may stand for."""


def facts(pairs: pl.DataFrame, catalogue: pl.DataFrame, *, has_dates: bool) -> dict[str, Any]:
    """Sizes, lengths, long tail, ties, gaps and category coverage.

    Parameters
    ----------
    pairs : DataFrame
        `user`, `item` (numbers), `time`, `session`, `n_events`; sorted by user and time.
    catalogue : DataFrame
        `item_id`, `title`, `categories`, `text`, `n_users` (0 for items without events).
    has_dates : bool
        Whether times are moments and not ranks.
    """
    users, times = np.bincount(pairs["user"].to_numpy()), pairs["time"].to_numpy()
    lengths = users[users > 0]
    counts = np.sort(catalogue["n_users"].to_numpy())[::-1]
    seen = counts[counts > 0]
    is_same_user = pairs["user"] == pairs["user"].shift(1)
    is_tie = is_same_user & (pairs["time"] == pairs["time"].shift(1))
    sizes = category_sizes(catalogue)
    is_categorised = catalogue["categories"].list.len() > 0
    return {
        "n_users": len(lengths),
        "n_items": len(catalogue),
        "n_items_without_events": int((counts == 0).sum()),
        "n_interactions": pairs.height,
        "density": pairs.height / (len(lengths) * max(1, len(seen))),
        "mean_length": float(lengths.mean()),
        "median_length": float(np.median(lengths)),
        "n_users_below_3": int((lengths < 3).sum()),
        "top_percent_share": float(seen[: max(1, len(seen) // 100)].sum() / pairs.height),
        "n_items_below_5": int((seen < K).sum()),
        "core": k_core(pairs),
        "tie_share": float(is_tie.sum() / max(1, int(is_same_user.sum()))),
        "n_sessions": int(pairs.select(pl.struct("user", "session").n_unique()).item()),
        "categories": dict(list(sizes.items())[:200]),
        "n_categories": len(sizes),
        "category_share_items": float(is_categorised.mean()),  # type: ignore[arg-type]
        "category_share_interactions": float(
            catalogue.filter(is_categorised)["n_users"].sum() / pairs.height
        ),
        "n_without_title": int((catalogue["title"] == "").sum()),
        "n_with_text": int((catalogue["text"] != "").sum()),
        "first_time": iso(int(times.min()), MICROSECONDS) if has_dates else None,
        "last_time": iso(int(times.max()), MICROSECONDS) if has_dates else None,
        "gaps": gaps(pairs["time"]) if has_dates else [],
        "charts": [chart._asdict() for chart in charts(pairs, lengths, seen, sizes, has_dates)],
    }


def category_sizes(catalogue: pl.DataFrame) -> dict[str, int]:
    """Number of items of every category, most first, then by name; in a tree of those above too."""
    names = [with_ancestors(own) for own in catalogue["categories"].to_list()]
    lists = pl.Series("categories", names, dtype=pl.List(pl.String))
    counted = lists.explode().drop_nulls().value_counts(name="n")
    return dict(counted.sort("n", "categories", descending=[True, False]).rows())


def k_core(pairs: pl.DataFrame, k: int = K) -> dict[str, int]:
    """Size of what the filter `k-core` leaves."""
    user, item = pairs["user"].to_numpy(), pairs["item"].to_numpy()
    n = -1
    while n != len(user) and len(user):
        n = len(user)
        is_kept = np.bincount(item)[item] >= k
        user, item = user[is_kept], item[is_kept]
        is_kept = np.bincount(user)[user] >= k if len(user) else np.zeros(0, dtype=bool)
        user, item = user[is_kept], item[is_kept]
    kept = {"n_users": len(np.unique(user)), "n_items": len(np.unique(item))}
    return {**kept, "n_pairs": len(user)}


def gaps(times: pl.Series, n: int = 5) -> list[dict[str, Any]]:
    """The longest runs of days without any event, longest first."""
    days = (times // DAY).unique().sort().to_numpy()
    missing = np.diff(days) - 1
    longest = np.argsort(-missing, kind="stable")[:n]
    return [
        {"from": _day(int(days[at]) + 1), "days": int(missing[at])}
        for at in longest
        if missing[at] > 0
    ]


def charts(
    pairs: pl.DataFrame, lengths: IntArray, seen: IntArray, sizes: dict[str, int], has_dates: bool
) -> list[Chart]:
    """Bars of activity, popularity, history lengths and categories."""
    found = [_activity(pairs["time"])] if has_dates else []
    found.append(long_tail(seen))
    counts, _ = np.histogram(lengths, bins=(*LENGTHS, np.inf))
    tops = [str(edge - 1) for edge in LENGTHS[1:]]
    labels = [
        low if low == high else f"{low}–{high}" if high else f"{low} or more"
        for low, high in zip(map(str, LENGTHS), [*tops, ""], strict=True)
    ]
    found.append(Chart("users by number of items", labels, counts.astype(float).tolist()))
    largest = list(sizes.items())[:20]
    if largest:
        names, values = zip(*largest, strict=True)
        found.append(Chart("items in category", list(names), list(map(float, values))))
    return found


def _activity(times: pl.Series) -> Chart:
    days = (times // DAY).to_numpy()
    first, last = int(days.min()), int(days.max())
    width = next(width for width in WIDTHS if (last - first) // width < MOST_PERIODS)
    counts = np.bincount((days - first) // width)
    labels = [_day(first + width * number) for number in range(len(counts))]
    name = {1: "day", 7: "week", 3650: "decade"}.get(width, f"{width} days")
    return Chart(f"interactions per {name}", labels, counts.astype(float).tolist())


def _day(day: int) -> str:
    return iso(day * DAY, MICROSECONDS).split("T")[0]
