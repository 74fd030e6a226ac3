import numpy as np
import pytest

from proactrec.report import plots
from proactrec.report.drawing import svg


def test_band_holds_the_mean_and_draws_users_not_pairs():
    rng = np.random.default_rng(0)
    per_user = rng.normal(size=(200, 1))
    values, user_idx = np.repeat(per_user, 4, axis=0), np.repeat(np.arange(200), 4)
    band = plots.bootstrap_band(values, user_idx)
    assert band.mean == pytest.approx(per_user.mean())
    # Four equal pairs a user add nothing: the half width stays 1.96 standard errors of 200 users.
    half_width = 1.96 * per_user.std() / np.sqrt(200)
    assert (band.high - band.low) / 2 == pytest.approx(half_width, rel=0.15)


def test_band_leaves_out_nan_and_says_nan_where_nothing_is_known():
    values = np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, np.nan]])
    band = plots.bootstrap_band(values, np.array([0, 1, 2]))
    assert band.mean[0] == 2
    assert np.isnan([band.mean[1], band.low[1], band.high[1]]).all()


def test_interest_line_is_the_mean_over_pairs(log):
    (line,) = plots.interest_plot(log).axes[0].lines
    assert line.get_ydata() == pytest.approx(log.interest.mean(axis=0))


def test_targets_accepted_are_counted_up(log):
    log.item_idx[0], log.accepted[0] = [1, 2, 5], True  # in the last round
    log.item_idx[1], log.accepted[1] = [5, 5, 1], [False, True, True]
    axes = plots.accepted_plot(log).axes[0]
    (line,) = axes.lines
    assert line.get_ydata() == pytest.approx([0, 0, 0.2, 0.3])
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.min() == 0
    assert heights.max() > 0.3


def test_rank_counts_from_one_with_one_on_top(log):
    axes = plots.rank_plot(log).axes[0]
    mean, median = axes.lines
    assert list(mean.get_ydata()) == list(median.get_ydata()) == [6, 5, 5, 3]
    assert axes.yaxis_inverted()


@pytest.mark.parametrize(("worst", "scale"), [(5, "linear"), (5000, "log")])
def test_rank_axis_is_logarithmic_where_ranks_span_much(log, worst, scale):
    log.rank[:, 0] = worst
    assert plots.rank_plot(log).axes[0].get_yscale() == scale


def test_acceptance_counts_shown_items_only(log):
    accepted, chance = plots.acceptance_plot(log).axes[0].lines
    assert accepted.get_ydata() == pytest.approx([1, 1 / 10, 1])
    assert chance.get_ydata() == pytest.approx([0.5, 0.25, 0.75])


def test_a_log_in_which_nothing_was_shown_can_be_drawn(log):
    log.item_idx[:], log.accept_prob[:], log.accepted[:] = 0, np.nan, False
    assert "<svg" in svg(plots.acceptance_plot(log))


def test_one_dot_per_target_in_order(log):
    axes = plots.target_plot(log, {5: "five", 6: "six"}).axes[0]
    dots = axes.lines[-1]
    gain = log.interest[:, -1] - log.interest[:, 0]
    assert dots.get_xdata() == pytest.approx([gain[:5].mean(), gain[5:].mean()])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["five", "six"]


def test_owners_add_zero_to_the_gain_of_their_target(log):
    log.is_counted[:5] = False
    dots = plots.target_plot(log, {}).axes[0].lines[-1]
    assert dots.get_xdata()[0] == 0


def test_many_targets_label_the_extremes_only(log):
    log.target_idx[:] = np.arange(10)
    many = [np.concatenate([part, part]) for part in vars(log).values()]
    log = type(log)(*many)
    log.target_idx[:] = np.arange(20)
    axes = plots.target_plot(log, {item: f"t{item}" for item in range(20)}).axes[0]
    assert len(axes.texts) == 6


def test_heat_map_sorts_by_the_target_and_is_symmetric_about_zero(trace):
    vectors, target = trace["vectors"][0], trace["target_vectors"][0]
    (image,) = plots.journey_heat_map(vectors, target).axes[0].images
    values = image.get_array()
    assert values.shape == (len(vectors) + 2, len(target))
    assert list(values[-1]) == sorted(target)
    assert values[-2].mask.all()
    assert image.norm.vmin == -image.norm.vmax


def test_heat_map_frames_the_acceptance_and_leaves_what_came_after_the_end_blank(trace):
    vectors, target = trace["vectors"][0], trace["target_vectors"][0]
    axes = plots.journey_heat_map(vectors, target, n_shown=2, accepted_at=1).axes[0]
    values = axes.images[0].get_array()
    assert values.shape == (len(vectors) + 2, len(target))
    assert values.mask.all(axis=1).tolist() == [False] * 3 + [True] * 2 + [False]
    (frame,) = axes.patches
    assert (frame.get_y(), frame.get_height()) == (0.5, 1)
    assert [name.get_text() for name in axes.get_yticklabels()] == [
        "start",
        "✓ 1",
        "2",
        "3",
        "target",
    ]
    (told,) = axes.texts
    assert (told.get_text().split(":")[0], told.xy[1]) == ("the journey had ended", 3)
