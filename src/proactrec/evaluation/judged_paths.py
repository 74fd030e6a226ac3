r"""ProRL's own figures of a log: what a judge that reads sequences says of the paths in it.

A path is what was shown before the target. Every item of it counts as accepted, whatever simulated
users answered: so the paper judges plans. With h the history before guidance,
:math:`i_1 \dots i_n` the path, P the judge's softmax over the catalogue and R = 1 + the number of
items of larger P, of a journey to t:

.. math::
    \mathrm{IoI} = \ln P(t | h, i_1 \dots i_n) - \ln P(t | h)

.. math::
    \mathrm{IoR} = R(t | h) - R(t | h, i_1 \dots i_n)

.. math::
    \mathrm{CTR} = \frac{1}{n} \sum_k \sigma(h(h, i_1 \dots i_{k-1})^\top v_{i_k})

and Coherence, the share of the n neighbours in :math:`i_1 \dots i_n, t` that share a category. A
journey without a path counts 0 in all of them.

Source: Hou et al. 2026, arXiv:2605.28293, as its code has them: Coherence counts the step to the
target. Repeated items don't occur in logs that never show an item again.
"""

import numpy as np
import torch

from proactrec.data.dataset import Dataset
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.sums import Sums, floats
from proactrec.prorl.mining import carried
from proactrec.prorl.rewards import Judge
from proactrec.types import BoolArray, IntArray

HISTORY_LEN, LONGEST = 10, 10
"""Newest items of a history that judges read, and items of a path, as published."""


def paths_of(log: GuidanceLog, *, longest: int = LONGEST, accepted: bool = False) -> IntArray:
    """The first items shown before the target, at most `longest`: (n_pairs, longest).

    Padded with 0 on the right. With `accepted`, only those that were accepted: the path that the
    simulated users walked.
    """
    is_target = log.item_idx == log.target_idx[:, None]
    is_path = (log.item_idx > 0) & (np.cumsum(is_target, axis=1) == 0)
    if accepted:
        is_path &= log.accepted
    place = np.cumsum(is_path, axis=1) - 1  # in the path
    row, column = np.nonzero(is_path & (place < longest))
    path = np.zeros((len(log.item_idx), longest), np.int64)
    path[row, place[row, column]] = log.item_idx[row, column]
    return path


def judged_paths(
    log: GuidanceLog,
    dataset: Dataset,
    judge: Judge,
    *,
    path: IntArray | None = None,
    history_len: int = HISTORY_LEN,
) -> dict[str, Sums]:
    """Sums of `log_ioi` (nats), `log_ior` (places), `ctr` and `coherence` (shares), by journey.

    Parameters
    ----------
    judge : Judge
        From :func:`proactrec.prorl.rewards.judge_by`. It must not be what a planner was rewarded
        by, where it is to say how good that planner is.
    path : int array, shape (n_pairs, n_items), optional
        What is judged, of the log's journeys; by default :func:`paths_of`.
    """
    path = paths_of(log) if path is None else path
    history = dataset.before("train").padded(history_len, user_idx=log.user_idx)
    found = judge(*(torch.from_numpy(part) for part in (history, log.target_idx, path)))
    interest, rank, acceptance = (part.double().numpy() for part in found)
    n_items = np.maximum(1, (path > 0).sum(1))
    figures = {
        "log_ioi": interest.sum(1),
        "log_ior": rank.sum(1),
        "ctr": acceptance.sum(1) / n_items,
        "coherence": _linked(path, log.target_idx, dataset).sum(1) / n_items,
    }
    one = np.ones((len(path), 1))
    return {
        name: Sums(log.user_idx, log.target_idx, floats(values)[:, None], one)
        for name, values in figures.items()
    }


def _linked(path: IntArray, target_idx: IntArray, dataset: Dataset) -> BoolArray:
    """Whether each item of paths shares a category with what follows it: (n_pairs, n_items)."""
    of_category = carried(dataset.items, dataset.items.category_names)
    following = np.concatenate([path[:, 1:], np.zeros_like(path[:, :1])], 1)
    following = np.where((path > 0) & (following == 0), target_idx[:, None], following)
    linked: BoolArray = (of_category[path] & of_category[following]).any(2)
    return linked
