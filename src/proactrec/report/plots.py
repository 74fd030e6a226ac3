"""Plots of a guidance run, as matplotlib figures without global state."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from proactrec.errors import MissingExtraError
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.bootstrap import bootstrap_weights, ratio_estimates
from proactrec.measurement.ratios import ratio
from proactrec.measurement.sums import Sums, floats
from proactrec.report.drawing import BLUE, FAINT, INK, MUTED, VERMILION, styled
from proactrec.report.extra import INSTALL
from proactrec.report.line_labels import end_labels
from proactrec.report.tables import percent_text
from proactrec.types import BoolArray, FloatArray, IntArray

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
except ImportError as error:
    raise MissingExtraError(INSTALL) from error


N_DRAWS = 400
"""Bootstrap draws of a band."""
ALL_LABELLED = 12
"""Up to so many targets, each is labelled."""


class Band(NamedTuple):
    """Mean per column with its 95 % interval, each of shape (n_columns,)."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray


def bootstrap_band(values: FloatArray, user_idx: IntArray) -> Band:
    """Mean over pairs and its 95 % bootstrap interval, drawing users, not pairs.

    Parameters
    ----------
    values : float array, shape (n_pairs, n_columns)
        NaN is left out; a column of NaN only gives NaN.
    user_idx : int array, shape (n_pairs,)
        A user's pairs are drawn together.
    """
    known = floats(np.isfinite(values))
    users = Sums.of_users(user_idx, np.nan_to_num(values), known).by_user()
    weights = bootstrap_weights(len(users.user_idx), n_draws=N_DRAWS, purpose="report-band")
    return Band(*np.array(ratio_estimates(users, weights, empty=np.nan)).T)


def accepted_rounds(log: GuidanceLog) -> BoolArray:
    """Whether the target was accepted by the end of every round: (n_pairs, n_rounds + 1)."""
    hit = np.pad(log.is_target_accepted, ((0, 0), (1, 0)))
    return np.asarray(np.logical_or.accumulate(hit, axis=1))


def accepted_plot(log: GuidanceLog) -> Figure:
    """Share of pairs whose target was accepted by every round, 95 % band over users."""
    band = bootstrap_band(floats(accepted_rounds(log)), log.user_idx)
    with styled("Targets accepted by round") as (figure, axes):
        banded_line(axes, np.arange(log.n_rounds + 1), band, BLUE)
        axes.set_ylim(0, max(0.1, 1.05 * float(band.high.max())))
        end_labels(axes, log.n_rounds, [(band.mean[-1], percent_text(band.mean[-1], 1), BLUE)])
        round_axis(axes, log.n_rounds)
        axes.set_ylabel("share of pairs of user and target")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent_text(value)))
    return figure


def interest_plot(log: GuidanceLog) -> Figure:
    """Interest in the target after every round: mean over pairs, 95 % band over users.

    Here and in :func:`rank_plot`, pairs that are not counted (owners of the target) are left out.
    """
    counted = _counted(log)
    band = bootstrap_band(log.interest[counted], log.user_idx[counted])
    with styled("Interest in the target") as (figure, axes):
        banded_line(axes, np.arange(log.n_rounds + 1), band, BLUE)
        end_labels(axes, log.n_rounds, [(band.mean[-1], f"{band.mean[-1]:.3f}", BLUE)])
        round_axis(axes, log.n_rounds)
        axes.set_ylabel("inner product (−1 to 1)")
    return figure


def rank_plot(log: GuidanceLog) -> Figure:
    """Rank of the target after every round, 1 on top: mean with 95 % band, and median.

    The axis is logarithmic where the ranks span a factor of five or more.
    """
    counted = _counted(log)
    ranks = log.rank[counted].astype(np.float64) + 1
    band, median = bootstrap_band(ranks, log.user_idx[counted]), np.median(ranks, axis=0)
    with styled("Rank of the target") as (figure, axes):
        banded_line(axes, np.arange(log.n_rounds + 1), band, BLUE)
        axes.plot(median, color=VERMILION, linestyle=(0, (5, 2)))
        _rank_axis(axes, np.concatenate([median, band.low, band.high]))
        end_labels(
            axes,
            log.n_rounds,
            [
                (band.mean[-1], f"mean {band.mean[-1]:,.0f}", BLUE),
                (median[-1], f"median {median[-1]:,.0f}", VERMILION),
            ],
        )
        round_axis(axes, log.n_rounds)
        axes.set_ylabel("rank among all items (1 = first)")
    return figure


def acceptance_plot(log: GuidanceLog) -> Figure:
    """Share of shown items that were accepted in every round, and their mean probability."""
    shown = np.where(log.is_shown, log.accepted, np.nan).astype(np.float64)
    band = bootstrap_band(shown, log.user_idx)
    chances = np.where(log.is_shown, log.accept_prob, np.nan)
    n_known = floats(np.isfinite(chances).sum(axis=0))
    offered = ratio(np.nansum(chances, axis=0), n_known, empty=np.nan)
    rounds = np.arange(1, log.n_rounds + 1)
    with styled("Acceptance of the shown items") as (figure, axes):
        banded_line(axes, rounds, band, BLUE, marker="o", markersize=4, linewidth=1)
        axes.plot(rounds, offered, color=VERMILION, linestyle=(0, (5, 2)))
        labels = [
            (_last(band.mean), "accepted", BLUE),
            (_last(offered), "chance", VERMILION),
        ]
        axes.set_ylim(0, 1)
        end_labels(axes, log.n_rounds, labels)
        round_axis(axes, log.n_rounds)
        axes.set_ylabel("share of items shown in the round")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: percent_text(value)))
    return figure


def target_plot(log: GuidanceLog, titles: Mapping[int, str]) -> Figure:
    """Increase of interest at the last round, one dot per target, sorted.

    Parameters
    ----------
    titles : mapping from item index to title
        Of the targets; where there are many, only the three highest and lowest are labelled.
    """
    gain = np.where(log.is_counted, log.interest[:, -1] - log.interest[:, 0], 0.0)
    target_idx, place = np.unique(log.target_idx, return_inverse=True)
    gains = np.bincount(place, weights=gain) / np.bincount(place)
    order = np.argsort(gains, kind="stable")
    names = [_short(titles.get(int(item), str(item))) for item in target_idx[order]]
    gains, mean = gains[order], float(gain.mean())
    height = float(np.clip(1.3 + 0.24 * len(gains), 2.4, 4.2))
    with styled("Increase of interest by target", height) as (figure, axes):
        axes.axvline(0, color=FAINT, linewidth=1, alpha=0.5)
        axes.plot(
            mean, 0, "^", color=VERMILION, transform=axes.get_xaxis_transform(), clip_on=False
        )
        axes.plot(gains, np.arange(len(gains)), "o", color=BLUE, markersize=5, clip_on=False)
        axes.set_ylim(-0.8 - len(gains) / 18, len(gains) - 0.2)
        axes.set_xlabel(
            f"gain after {log.n_rounds} rounds; ▲ all pairs {mean:.3f}".replace("-", "−")
        )
        axes.spines["left"].set_visible(False)
        if len(gains) <= ALL_LABELLED:
            axes.set_yticks(range(len(gains)), names)
            axes.tick_params(axis="y", length=0)
        else:
            axes.set_yticks([])
            _label_extremes(axes, gains, names)
    return figure


def journey_heat_map(
    vectors: FloatArray,
    target_vector: FloatArray,
    *,
    n_shown: int | None = None,
    accepted_at: int | None = None,
) -> Figure:
    """One user's vector moving to the target: rounds by dimensions, the target below a gap.

    Dimensions are sorted by the target's value; colours are symmetric about 0. The round in which
    the target was accepted is framed, and rounds after the journey's end are blank.

    Parameters
    ----------
    vectors : float array, shape (n_rounds + 1, d)
        Row 0 is the user before guidance.
    target_vector : float array, shape (d,)
    n_shown : int, optional
        Last round in which anything was shown; all by default.
    accepted_at : int, optional
        Round in which the target was accepted.
    """
    n_rounds = len(vectors) - 1
    n_shown = n_rounds if n_shown is None else n_shown
    order = np.argsort(target_vector, kind="stable")
    gap = np.full((n_rounds - n_shown + 1, len(order)), np.nan)
    picture = np.vstack([vectors[: n_shown + 1], gap, target_vector[None]])[:, order]
    limit = float(np.nanmax(np.abs(picture))) or 1.0
    height = 1.2 + 0.17 * len(picture)
    with styled("The user's vector after every round, and the target's", height, width=7.2) as (
        figure,
        axes,
    ):
        image = axes.imshow(
            picture, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="none"
        )
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        rows = [0, *range(1, n_rounds + 1), n_rounds + 2]
        names = [f"✓ {at}" if at == accepted_at else str(at) for at in range(1, n_rounds + 1)]
        axes.set_yticks(rows, ["start", *names, "target"], fontsize=8.5)
        _journey_marks(axes, picture.shape, n_shown, accepted_at)
        axes.set_ylabel("round")
        axes.set_xticks([])
        axes.set_xlabel(f"{len(order)} dimensions, sorted by the target's value")
        bar = figure.colorbar(image, ax=axes, pad=0.02, shrink=0.6, aspect=18)
        bar.set_label("value of the dimension")
        bar.outline.set_visible(False)
        bar.locator = MaxNLocator(5, symmetric=True)
        bar.update_ticks()
    return figure


def _journey_marks(
    axes: Axes, shape: tuple[int, ...], n_shown: int, accepted_at: int | None
) -> None:
    """Frame the round in which the target was accepted; say where nothing was shown."""
    n_rows, width = shape
    if accepted_at is not None:
        frame = Rectangle((-0.5, accepted_at - 0.5), width, 1, fill=False, edgecolor=INK)
        frame.set(linewidth=1.6, clip_on=False, zorder=3)
        axes.add_patch(frame)
    n_blank = n_rows - n_shown - 3
    if n_blank:
        place = ((width - 1) / 2, n_shown + (n_blank + 1) / 2)
        style: dict[str, Any] = {"ha": "center", "va": "center", "color": MUTED, "fontsize": 9}
        axes.annotate("the journey had ended: nothing was shown", place, **style)


def cosine_plot(interest_vectors: Mapping[str, Mapping[str, float]]) -> Figure:
    """Mean and standard deviation of user–item cosines, one row per kind of pair."""
    names = list(interest_vectors)
    means = [interest_vectors[name]["mean"] for name in names]
    spreads = [interest_vectors[name]["std"] for name in names]
    with styled("Cosine of user and item vectors", 1.2 + 0.34 * len(names)) as (figure, axes):
        axes.axvline(0, color=FAINT, linewidth=1)
        axes.errorbar(
            means, names, xerr=spreads, fmt="o", color=BLUE, capsize=3, linewidth=1.5, markersize=6
        )
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(min(-0.1, *np.subtract(means, spreads)) - 0.02, 1)
        axes.set_xlabel("mean ± standard deviation")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


def _counted(log: GuidanceLog) -> IntArray:
    """Rows of pairs that are counted; all where none is."""
    rows = log.is_counted if log.is_counted.any() else np.ones_like(log.is_counted)
    return np.flatnonzero(rows)


def _last(values: FloatArray) -> float:
    """The last value that is known."""
    known = values[np.isfinite(values)]
    return float(known[-1]) if len(known) else 0.0


def banded_line(axes: Axes, rounds: IntArray, band: Band, colour: str, **style: Any) -> None:
    """Draw the mean as a line over its interval."""
    axes.fill_between(rounds, band.low, band.high, color=colour, alpha=0.2, linewidth=0)
    axes.plot(rounds, band.mean, color=colour, **style)


def round_axis(axes: Axes, n_rounds: int) -> None:
    """Make x the rounds from 0 to `n_rounds`, with faint horizontal lines."""
    axes.set_xlim(0, n_rounds)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    axes.set_xlabel("round")
    axes.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.8)


def _rank_axis(axes: Axes, ranks: FloatArray) -> None:
    best, worst = ranks.min(), ranks.max()
    if worst >= 5 * best:
        axes.set_yscale("log")
        subs = (1, 2, 5) if worst < 300 * best else (1,)
        axes.yaxis.set_major_locator(LogLocator(subs=subs))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.invert_yaxis()


def _label_extremes(axes: Axes, gains: FloatArray, names: list[str]) -> None:
    """Name the three lowest targets to their right and the three highest to their left."""
    n, step = len(gains), max(1.0, len(gains) / 18)
    pad = 0.03 * float(np.ptp(gains) or 1.0)
    beside = int(np.ceil(2.5 * step))  # rows that the labels stand next to
    for k in range(3):
        for row, place, text_at, side in (
            (k, k * step, gains[beside] + pad, "left"),
            (n - 1 - k, n - 1 - k * step, gains[-1 - beside] - pad, "right"),
        ):
            axes.annotate(
                names[row],
                (gains[row], row),
                (text_at, place),
                ha=side,
                va="center",
                fontsize=9,
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.8},
            )


def _short(title: str) -> str:
    """A title on one line, cut where it is long; control characters become spaces."""
    title = "".join(letter if letter.isprintable() else " " for letter in title)
    return title if len(title) <= 28 else title[:27].rstrip() + "…"
