"""Plots of an agreement study: calibration, popularity, and guidance under both click models."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from proactrec.errors import MissingExtraError
from proactrec.report.benchmark.plots import ROUNDS
from proactrec.report.drawing import BLUE, FAINT, VERMILION, styled
from proactrec.report.extra import INSTALL
from proactrec.report.line_labels import end_labels
from proactrec.report.plots import Band, banded_line, round_axis
from proactrec.report.tables import number_text, percent_text

try:
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError(INSTALL) from error

LOOKS = ((BLUE, "o"), (VERMILION, "s"))
"""Colour and marker of the click models, in their order."""
LABELS = {"distribution": "calibrated users", "llm": "language model"}
SHAPES = {"ioi": "interest", "ior": "rank"}
"""How benchmarks name the curve."""

Interval = Mapping[str, float | None]


def study_plots(figures: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """All plots by name, each with its caption; `figures` is the content of `study.json`."""
    held_out, guidance = figures["held_out"]["click_models"], figures["guidance"]
    moved = (
        "Mean gain since round 0 with its 95 % bootstrap interval over users: the same policy, "
        "targets, users and luck under both click models."
    )
    return {
        "reliability": (
            reliability_plot({name: of["reliability"] for name, of in held_out.items()}),
            "Items in ten bins by the chance given to them, and the share of each bin that are "
            "real next items; larger marks hold more items, bars are 95 % bootstrap intervals over "
            "users. On the dashed line, chances are what they say; how many items are real in all "
            f"({percent_text(figures['held_out']['share_real'])}) is a matter of the design.",
        ),
        "popularity": (
            popularity_plot({name: of["popularity"]["fifths"] for name, of in held_out.items()}),
            "Mean chance of random items that the user never touched, by fifths of the catalogue "
            "from the least to the most popular, with its 95 % interval.",
        ),
        **{
            metric: (
                curves_plot({name: of["curves"][metric] for name, of in guidance.items()}, metric),
                moved,
            )
            for metric in SHAPES
        },
    }


def reliability_plot(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Share of real items by the chance given: one line per click model, and the diagonal.

    Parameters
    ----------
    curves : mapping from click model to bins
        Each bin with its size `n`, `mean_chance` and the interval `share_real`.
    """
    with styled("Reliability of the chances", 4.3) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle=(0, (5, 2)), linewidth=1)
        labels = []
        for (name, bins), (colour, marker) in zip(curves.items(), LOOKS, strict=False):
            chance = [one["mean_chance"] for one in bins]
            n_items = np.array([one["n"] for one in bins])
            band = _band([one["share_real"] for one in bins])
            axes.vlines(chance, band.low, band.high, color=colour, alpha=0.5, linewidth=1.5)
            axes.plot(chance, band.mean, color=colour, linewidth=1)
            axes.scatter(
                chance, band.mean, 12 + 100 * n_items / n_items.max(), color=colour, marker=marker
            )
            labels.append((float(band.mean[-1]), LABELS.get(name, name), colour))
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("chance of acceptance that the click model gives")
        axes.set_ylabel("share that are real next items")
        end_labels(axes, 1.02, labels)
    return figure


def popularity_plot(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Mean chance of random items by fifth of the catalogue: one line per click model.

    Parameters
    ----------
    curves : mapping from click model to fifths
        Each with the counts `least` and `most`, and the interval `mean_chance`.
    """
    fifths = next(iter(curves.values()))
    places = np.arange(1, len(fifths) + 1)
    with styled("Acceptance by popularity") as (figure, axes):
        labels = []
        for (name, curve), (colour, marker) in zip(curves.items(), LOOKS, strict=False):
            band = _band([one["mean_chance"] for one in curve])
            banded_line(axes, places, band, colour, marker=marker, markersize=5)
            labels.append((float(band.mean[-1]), LABELS.get(name, name), colour))
        axes.set_xlim(places[0] - 0.1, places[-1])
        axes.set_ylim(0, 1)
        axes.set_xticks(places, ["–".join(_ends(of)) for of in fifths])
        axes.set_xlabel("users who have the item, from the least popular fifth of items on")
        axes.set_ylabel("mean chance of acceptance")
        axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)
        end_labels(axes, places[-1], labels)
    return figure


def curves_plot(curves: Mapping[str, Sequence[Interval]], metric: str) -> Figure:
    """IoI or IoR after every round, from 0 on: one line with its band per click model.

    Parameters
    ----------
    curves : mapping from click model to the intervals of rounds 1, 2, …
    metric : "ioi" or "ior"
    """
    title, unit, _, n_decimals = ROUNDS[SHAPES[metric]]
    start: Interval = dict.fromkeys(Band._fields, 0.0)
    n_rounds = len(next(iter(curves.values())))
    with styled(title) as (figure, axes):
        labels = []
        for (name, curve), (colour, _) in zip(curves.items(), LOOKS, strict=False):
            band = _band([start, *curve])
            banded_line(axes, np.arange(n_rounds + 1), band, colour)
            last = float(band.mean[-1])
            text = f"{LABELS.get(name, name)} {number_text(last, n_decimals)}"
            labels.append((last, text, colour))
        round_axis(axes, n_rounds)
        axes.set_ylabel(unit)
        end_labels(axes, n_rounds, labels)
    return figure


def _band(intervals: Sequence[Interval]) -> Band:
    columns = ([one[name] for one in intervals] for name in Band._fields)
    return Band(*(np.array(column, dtype=np.float64) for column in columns))


def _ends(fifth: Mapping[str, Any]) -> list[str]:
    """Least and most, or the one number if they are the same."""
    return list(dict.fromkeys(f"{fifth[end]:,}" for end in ("least", "most")))
