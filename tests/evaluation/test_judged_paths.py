"""ProRL's own figures, by hand: on the log of two users, and by an encoder asked item by item."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from proactrec.data.dataset import Dataset
from proactrec.encoders.base import Encoder
from proactrec.evaluation.judged_paths import judged_paths, paths_of
from proactrec.prorl.rewards import judge_by
from proactrec.testing.toys import dataset_of, encoder_of

from .test_metrics import LOG

N_ITEMS, WIDTH = 5, 6


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Two users, items 1 … 5: items 1, 2 are A, items 3, 4 B, item 5 both."""
    known = [[1, 2, 3, 4, 5], [2, 4, 5, 1, 3]]  # the last two are held out
    return dataset_of(known, [["A"], ["A"], ["B"], ["B"], ["A", "B"]])


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    items = torch.randn(N_ITEMS + 1, 8, generator=torch.Generator().manual_seed(3))
    items[0] = 0
    return encoder_of(items, max_seq_len=WIDTH)


def test_a_path_is_what_was_shown_before_the_target() -> None:
    # Targets 5, 5, 2, 2; the second is shown its target last, the last two never.
    assert paths_of(LOG).tolist() == [
        [1, *[0] * 9],
        [1, 3, 4, *[0] * 7],
        [4, 3, 1, 5, *[0] * 6],
        [3, 1, 4, *[0] * 7],
    ]
    assert paths_of(LOG, longest=2).tolist() == [[1, 0], [1, 3], [4, 3], [3, 1]]
    assert paths_of(LOG, longest=2, accepted=True).tolist() == [[1, 0], [3, 0], [5, 0], [3, 4]]


def test_figures_are_those_of_the_formulas(dataset: Dataset, encoder: Encoder) -> None:
    found = judged_paths(LOG, dataset, judge_by(encoder), history_len=2)
    path = [[item for item in row if item] for row in paths_of(LOG).tolist()]
    for row, (items, target) in enumerate(zip(path, LOG.target_idx.tolist(), strict=True)):
        history = dataset.before("train").of(LOG.user_idx[row]).tolist()[-2:]
        scores = [_scores(encoder, history + items[:k]) for k in range(len(items) + 1)]
        logs = [float(one.log_softmax(0)[target - 1]) for one in scores]
        ranks = [1 + int((one > one[target - 1]).sum()) for one in scores]
        chances = [float(one[i - 1].sigmoid()) for i, one in zip(items, scores, strict=False)]
        by_hand = logs[-1] - logs[0], ranks[0] - ranks[-1], np.mean(chances)
        told = (found[name].numerator[row, 0] for name in ("log_ioi", "log_ior", "ctr"))
        assert list(told) == pytest.approx(by_hand, abs=1e-5)
    # 1→5; 1→3, 3→4, 4→5; 4→3, 3→1, 1→5, 5→2; 3→1, 1→4, 4→2.
    assert found["coherence"].numerator[:, 0].tolist() == [1, 2 / 3, 3 / 4, 0]


def test_a_journey_without_a_path_counts_nothing(dataset: Dataset, encoder: Encoder) -> None:
    at_once = replace(LOG, target_idx=LOG.item_idx[:, 0].copy())
    for sums in judged_paths(at_once, dataset, judge_by(encoder)).values():
        assert (sums.numerator == 0).all()
        assert (sums.denominator == 1).all()


def test_answers_and_hidden_interest_change_nothing(dataset: Dataset, encoder: Encoder) -> None:
    """Paths are judged, not simulated users."""
    other = replace(LOG, accepted=~LOG.accepted, interest=LOG.interest[::-1].copy())
    one, two = (judged_paths(log, dataset, judge_by(encoder)) for log in (LOG, other))
    for name, sums in one.items():
        np.testing.assert_array_equal(sums.numerator, two[name].numerator)


def _scores(encoder: Encoder, items: list[int]) -> Tensor:
    """Of all items for one history."""
    room = torch.tensor([[0] * (WIDTH - len(items)) + items])
    return encoder.score(encoder.encode(room))[0, 1:]
