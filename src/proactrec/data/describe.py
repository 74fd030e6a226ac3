"""A data set in numbers: its size, its categories, and how its interactions are spread."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proactrec.data.clock import iso, unit_of
from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError, MissingExtraError
from proactrec.types import IntArray

LENGTH_EDGES = (1, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


class Chart(NamedTuple):
    """A small bar chart: one label and one value a bar."""

    title: str
    labels: list[str]
    values: list[float]


def describe(dataset: Dataset) -> dict[str, Any]:
    """Size, density, lengths, categories and time span of a data set, ready for JSON.

    Returns
    -------
    dict
        `n_users`, `n_items`, `n_interactions`; `density`, the share of (user, item) pairs that
        occur; `mean_length` and `median_length` of the users' histories; `categories`, number of
        items by name, most first; `n_without_category` items; `first_time` and `last_time`, ISO
        8601, or None where the timestamps are in no unit that gives a date from 1980 to 2100;
        `removed`, what filters took out, step by step.
    """
    lengths = dataset.histories.lengths
    return {
        "n_users": dataset.n_users,
        "n_items": dataset.n_items,
        "n_interactions": dataset.n_interactions,
        "density": dataset.n_interactions / (dataset.n_users * dataset.n_items),
        "mean_length": float(lengths.mean()),
        "median_length": float(np.median(lengths)),
        "categories": dataset.items.category_sizes,
        "n_without_category": sum(not categories for categories in dataset.categories),
        "first_time": _iso(dataset, int(dataset.timestamps.min())),
        "last_time": _iso(dataset, int(dataset.timestamps.max())),
        "removed": [step._asdict() for step in dataset.removed],
    }


def charts(dataset: Dataset, *, n_periods: int = 12) -> tuple[Chart, Chart, Chart]:
    """Activity over time, the long tail of items, and the lengths of the users' histories."""
    counts = np.bincount(dataset.histories.item_idx, minlength=dataset.n_items + 1)[1:]
    tail = long_tail(np.sort(counts)[::-1])
    return _activity(dataset, n_periods), tail, _lengths(dataset)


def save_charts(dataset: Dataset, path: Path) -> None:
    """Draw :func:`charts` side by side into a PNG file.

    Raises
    ------
    InvalidInputError
        If the file name does not end in `.png`, or its folder does not exist.
    MissingExtraError
        If matplotlib is not installed.
    """
    if path.suffix.lower() != ".png":
        raise InvalidInputError(f"plot must be a .png file, got {path}")
    if not path.parent.is_dir():
        raise InvalidInputError(f"plot needs an existing folder, got {path.parent}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib: pip install 'proactrec[report]'") from error
    figure = Figure(figsize=(15, 4), layout="constrained")
    figure.suptitle(dataset.name)
    for axes, chart in zip(figure.subplots(1, 3), charts(dataset, n_periods=24), strict=True):
        axes.bar(range(len(chart.values)), chart.values)
        step = 1 + len(chart.labels) // 12
        axes.set_xticks(
            range(0, len(chart.labels), step), chart.labels[::step], rotation=45, ha="right"
        )
        axes.set_title(chart.title)
    figure.savefig(path, dpi=150)


def _activity(dataset: Dataset, n_periods: int) -> Chart:
    # A few broken times (Last.fm has some from 1956) must not squeeze the rest into one bar.
    start = float(np.quantile(dataset.timestamps, 0.005))
    end = float(dataset.timestamps.max())
    edges = np.linspace(start, max(end, start + 1), n_periods + 1)
    counts, _ = np.histogram(np.clip(dataset.timestamps, start, None), bins=edges)
    labels = [(_iso(dataset, int(edge)) or f"{edge:.0f}")[:10] for edge in edges[:-1]]
    return Chart("interactions over time", labels, counts.astype(float).tolist())


def long_tail(counts: IntArray) -> Chart:
    """Share of the interactions that each tenth of the items has, by their counts, falling."""
    tenths = np.array_split(counts, min(10, len(counts)))
    shares = [100 * float(tenth.sum()) / int(counts.sum()) for tenth in tenths]
    labels = [f"to item {end:,}" for end in np.cumsum([len(tenth) for tenth in tenths])]
    return Chart("% of interactions by item popularity", labels, shares)


def _lengths(dataset: Dataset) -> Chart:
    lengths = dataset.histories.lengths
    counts, _ = np.histogram(lengths, bins=(*LENGTH_EDGES, np.inf))
    ends = [str(edge - 1) for edge in LENGTH_EDGES[1:]]
    labels = [f"{start}-{end}" for start, end in zip(LENGTH_EDGES, [*ends, ""], strict=True)]
    used = np.flatnonzero(counts)
    shown = slice(used[0], used[-1] + 1)
    return Chart("users by number of items", labels[shown], counts[shown].astype(float).tolist())


def _iso(dataset: Dataset, timestamp: int) -> str | None:
    unit = unit_of(int(dataset.timestamps.max()))
    return None if unit is None else iso(timestamp, unit)
