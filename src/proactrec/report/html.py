"""One self-contained HTML page that tells what a guidance run did, to whom, and with what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.files import write_text
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.results import RunResult
from proactrec.report import drawing, plots
from proactrec.report.journeys import heat_map, item_of, journeys_of
from proactrec.report.page import settings_text, template
from proactrec.report.tables import (
    foreseen_texts,
    interval_texts,
    label_of,
    metric_rows,
    number_text,
    percent_text,
)
from proactrec.types import FloatArray, IntArray

MEANINGS = {
    "hr": "Share of the shown items that users accepted, over the first P rounds.",
    "ioi": "Mean gain in interest in the target after P rounds: the inner product of unit user "
    "and target vectors, so between −2 and 2.",
    "ior": "Mean number of ranks that the target rose among all items after P rounds.",
    "ior200": "IoR with ranks cut at 200, as published: mostly, entry into the first 200.",
    "accept_prob": "Mean chance that the simulated user accepts the shown item, over the first "
    "P rounds.",
    "target_accepted": "Share of (user, target) pairs whose user accepted the target itself in the "
    "first P rounds.",
    "targets_accepted": "Mean number of items of the goal that a user accepted in the first P "
    "rounds.",
    "rounds_to_target": "Mean round in which the target was accepted; P where it was not by then. "
    "The less, the better.",
    "worth": "Mean worth of a journey after P rounds: of the target, if it was accepted, of every "
    "accepted item, and of the gain in interest, as the settings say.",
}
CATEGORY_MEANINGS = {
    "users_with_one": "Share of journeys whose user accepted an item of the category in the first "
    "P rounds.",
    "share_of_accepted": "Share of the category among all items accepted in the first P rounds; "
    "before: its share in the histories.",
    "ioi": "Mean gain in interest in the items of the category after P rounds, in the units of "
    "IoI.",
}
OUTCOME_MEANINGS = {
    "target_accepted": "share of (user, target) pairs in which the user accepted the target itself",
    "already_first": "share of pairs whose target ranked first before guidance",
    "coverage": "share of the catalogue that was shown to somebody",
    "category_entropy": "spread of the shown items over categories",
}


class Tile(NamedTuple):
    """One headline figure."""

    label: str
    value: str
    low_high: str
    meaning: str


class Comparison(NamedTuple):
    """A table of figures: one row of texts per name, under these column heads."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


def write_report(
    path: Path,
    *,
    result: RunResult,
    log: GuidanceLog,
    dataset: Dataset,
    traced_pairs: IntArray,
    vectors: FloatArray,
    target_vectors: FloatArray,
    forecast: Mapping[str, Any] | None = None,
) -> Path:
    """Write the page and return its path; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
        Of the HTML file; folders on the way are made.
    result : RunResult
        What it lacks is left out of the page.
    log : GuidanceLog
    dataset : Dataset
        For titles, categories and histories (those before guidance: the train part).
    traced_pairs : int array, shape (n_traced,)
        Rows of `log` to tell as journeys.
    vectors : float array, shape (n_traced, n_rounds + 1, d)
        User vector of each after every round.
    target_vectors : float array, shape (n_traced, d)
    forecast : mapping, optional
        Content of `forecast.json`, made before the run.

    Raises
    ------
    InvalidInputError
        If the shapes of the trace do not match, or a traced pair is not in the log.
    """
    _check_trace(log, traced_pairs, vectors, target_vectors)
    page = template("report.html.j2").render(
        about=result,
        facts=_facts(result, log),
        tiles=_tiles(result),
        rounds=result.rounds,
        metrics=metric_rows(result),
        meanings=_meanings(result),
        foreseen=_foreseen(forecast, result),
        caution=(forecast or {}).get("caution"),
        outcomes=_outcomes(result),
        figures=_figures(log, dataset),
        journeys=journeys_of(log, dataset, traced_pairs),
        heat_map=heat_map(log, dataset, traced_pairs, vectors, target_vectors),
        targets=_targets(result, dataset),
        next_item=_next_item(result),
        spread=_spread(result),
        seconds=_seconds(result),
        options=settings_text(result.options),
    )
    return write_text(path, page)


def _check_trace(
    log: GuidanceLog, traced_pairs: IntArray, vectors: FloatArray, target_vectors: FloatArray
) -> None:
    n_traced = len(traced_pairs)
    fits = (
        vectors.ndim == 3
        and vectors.shape[:2] == (n_traced, log.n_rounds + 1)
        and target_vectors.shape == (n_traced, vectors.shape[2])
    )
    if not fits:
        raise InvalidInputError(
            f"vectors must be ({n_traced}, {log.n_rounds + 1}, d) and target_vectors "
            f"({n_traced}, d), got {vectors.shape} and {target_vectors.shape}"
        )
    outside = traced_pairs[(traced_pairs < 0) | (traced_pairs >= len(log.user_idx))]
    if len(outside):
        raise InvalidInputError(
            f"traced_pairs must be rows of the log, below {len(log.user_idx)}, got {outside[:3]}"
        )


def _facts(result: RunResult, log: GuidanceLog) -> list[tuple[str, str]]:
    """Size of the run, as (what, how many)."""
    pairs = result.pairs
    counts = [
        ("users", result.n_users),
        ("items", result.n_items),
        ("interactions", result.n_interactions),
        ("targets", len(np.unique(log.led_to if log.has_goal else log.target_idx))),
        ("pairs of user and target", len(log.user_idx)),
        ("rounds", log.n_rounds),
        (
            "pairs left out or not moved: the user had the target",
            pairs.n_owners_left_out + pairs.n_owners_counted_as_zero,
        ),
        ("pairs whose user accepted the target", pairs.n_accepted_target),
        ("pairs with nothing left to show", pairs.n_nothing_left),
    ]
    return [(what, f"{count:,}") for what, count in counts]


def _tiles(result: RunResult) -> list[Tile]:
    """HR, IoI and IoR at the last round, and the share of targets accepted early, soon and last."""
    rounds = result.rounds
    last = max(rounds, default=0)
    found = [
        (f"{label_of(name)}@{last}", result.metrics[name].get(last), meaning)
        for name, meaning in (
            ("hr", "of the shown items were accepted"),
            ("ioi", "mean gain in interest in the target"),
            ("ior", "mean ranks that the target rose"),
        )
        if name in result.metrics
    ]
    accepted, meaning = result.metrics.get("target_accepted", {}), "of the pairs by that round"
    found += [
        (f"Target accepted@{number}", accepted.get(number), meaning)
        for number in sorted({*rounds[:2], *rounds[-1:]})
    ]
    return [
        Tile(label, *interval_texts([figure])[0], meaning)
        for label, figure, meaning in found
        if figure is not None
    ]


def _meanings(result: RunResult) -> list[tuple[str, str]]:
    """Labels and meanings of the metrics, then of those of watched categories."""
    known = [(label_of(name), MEANINGS[name]) for name in result.metrics if name in MEANINGS]
    watched = dict.fromkeys(name for one in result.categories.values() for name in one.metrics)
    return known + [
        (f"category: {label_of(name)}", CATEGORY_MEANINGS[name])
        for name in watched
        if name in CATEGORY_MEANINGS
    ]


def _foreseen(forecast: Mapping[str, Any] | None, result: RunResult) -> Comparison | None:
    """What was foreseen of everybody at the last round, and what came; None without a forecast."""
    if forecast is None:
        return None
    everybody = [one for one in forecast["figures"] if one["segment"] == "all"]
    last = max(one["round"] for one in everybody)
    rows = []
    for one in everybody:
        measured = _measured(result, one["metric"], one["round"])
        if one["round"] < last or measured is None:
            continue
        inside = [
            f"inside {100 * float(level):.0f} %"
            for level, (low, high) in one["intervals"].items()
            if low <= measured <= high
        ]
        texts = foreseen_texts(one["median"], one["intervals"], measured)
        label = f"{label_of(one['metric'])}@{one['round']}"
        rows.append((label, [*texts, (inside or ["outside"])[0]]))
    return Comparison(["median", "80 % interval", "95 % interval", "measured", "it is"], rows)


def _measured(result: RunResult, metric: str, number: int) -> float | None:
    """A figure of the run; None if it is not among them."""
    found = result.metrics.get(metric, {}).get(number)
    return None if found is None else found.mean


def _outcomes(result: RunResult) -> list[Tile]:
    """Every single figure with its interval."""
    return [
        Tile(label_of(name), *interval_texts([figure])[0], OUTCOME_MEANINGS.get(name, ""))
        for name, figure in result.outcome.items()
    ]


def _figures(log: GuidanceLog, dataset: Dataset) -> list[tuple[str, str]]:
    """Plots as (SVG, caption)."""
    titles = {int(item): item_of(dataset, int(item)).title for item in np.unique(log.target_idx)}
    drawn = [
        (
            plots.accepted_plot(log),
            "Share of pairs whose user has accepted the target by the round; the band is the 95 % "
            "bootstrap interval over users.",
        ),
        (
            plots.interest_plot(log),
            "Mean over pairs of user and target, owners of it left out; the band is the 95 % "
            "bootstrap interval over users. Round 0 is before guidance; a pair that "
            "has stopped keeps its last state.",
        ),
        (
            plots.rank_plot(log),
            "Solid: mean with its 95 % interval. Dashed: median. Higher is better.",
        ),
        (
            plots.acceptance_plot(log),
            "Dots: accepted share of the round with its 95 % interval. Dashed: the mean chance "
            "that the simulated users gave the items shown to them.",
        ),
        (
            plots.target_plot(log, titles),
            "One dot per target, sorted. Triangle: mean over all pairs.",
        ),
    ]
    return [(drawing.svg(figure), caption) for figure, caption in drawn]


def _targets(result: RunResult, dataset: Dataset) -> list[dict[str, Any]]:
    return [
        {
            "title": target.title,
            "item_id": target.item_id,
            "categories": dataset.categories[target.item_idx - 1],
            "score": number_text(target.score, 3),
            "share_seen": percent_text(target.share_seen, 1),
        }
        for target in result.targets
    ]


def _next_item(result: RunResult) -> Comparison | None:
    """Next-item figures of the encoder beside those of popularity, per split."""
    sources = {"encoder": result.next_item, "popularity": result.popularity}
    columns = [
        (split, source)
        for split in ("validation", "test")
        for source, splits in sources.items()
        if splits.get(split)
    ]
    if not columns:
        return None
    names = list(
        dict.fromkeys(name for split, source in columns for name in sources[source][split])
    )
    rows = [
        (
            name.upper(),
            [number_text(sources[source][split].get(name), 4) for split, source in columns],
        )
        for name in names
    ]
    return Comparison([f"{source}, {split}" for split, source in columns], rows)


def _spread(result: RunResult) -> tuple[str, Comparison] | None:
    """Plot and table of how near users are to random, train and held-out items."""
    kinds = result.interest_vectors
    if not kinds:
        return None
    rows = [
        (label_of(name), [number_text(figures.get(key), 3) for key in ("mean", "std")])
        for name, figures in kinds.items()
    ]
    table = Comparison(["mean cosine", "standard deviation"], rows)
    return drawing.svg(plots.cosine_plot(kinds)), table


def _seconds(result: RunResult) -> list[tuple[str, str]]:
    """Time per stage, their sum, and the memory at its highest."""
    seconds = result.seconds
    rows = [(label_of(stage), f"{spent:,.1f} s") for stage, spent in seconds.items()]
    if len(rows) > 1:
        rows.append(("sum", f"{sum(seconds.values()):,.1f} s"))
    if result.peak_memory_mb is not None:
        rows.append(("memory at its highest", f"{result.peak_memory_mb:,.0f} MB"))
    return rows
