"""Real next items against items that the user never touched: what does a click model accept?"""

from typing import Any, NamedTuple

import numpy as np
import torch

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.llm.agreement import (
    Bootstrap,
    Interval,
    agreement,
    auc,
    balanced_accuracy,
    bins,
    brier_score,
    calibration_error,
    mean,
    rank_correlation,
)
from proactrec.rng import generator
from proactrec.simulator.response import N_RECENT, Response, Shown
from proactrec.simulator.world import World
from proactrec.types import BoolArray, FloatArray, IntArray

KINDS = ("real", "random", "popular")
N_FIFTHS = 5


class Questions(NamedTuple):
    """One item each for a user with a history: would this user accept it?"""

    user_idx: IntArray  # (n,)
    item_idx: IntArray  # (n,)
    recent: IntArray  # (n, N_RECENT), newest item last, padded with 0 on the left
    kind: IntArray  # (n,), place in KINDS

    def are(self, kind: str) -> BoolArray:
        """Whether an item is of this kind: (n,)."""
        return np.asarray(self.kind == KINDS.index(kind))

    def backwards(self) -> "Questions":
        """The same with every history from new to old."""
        turned = self.recent[:, ::-1]
        order = np.argsort(turned > 0, axis=1, kind="stable")  # padding to the left again
        return self._replace(recent=np.take_along_axis(turned, order, 1))


def held_out_questions(
    dataset: Dataset,
    *,
    n_users: int = 200,
    n_negatives: int = 1,
    history_len: int = N_RECENT,
    seed: int = 0,
) -> Questions:
    """Every user's test item, and items that the user never touched, in the order of users.

    `n_negatives` are drawn with equal chances, and as many by popularity: with chances in
    proportion to the number of users who have the item in the train part. The history is what
    stands before the test item.

    Parameters
    ----------
    n_users : int
        Drawn from those who have a test item; all of them if there are no more.
    history_len : int
        Newest items of the history that are kept.

    Raises
    ------
    InvalidInputError
        If a user has too few items left to draw from.
    """
    rng, answers = generator(seed, "held-out questions"), dataset.answers("test")
    with_answer = np.flatnonzero(answers)
    users = np.sort(rng.choice(with_answer, min(n_users, len(with_answer)), replace=False))
    is_new = np.ones((len(users), dataset.n_items + 1))
    is_new[:, 0] = 0
    is_new[dataset.histories.rows(users)] = 0
    random = _drawn(is_new, n_negatives, rng)
    popular = _drawn(is_new * dataset.train_counts, n_negatives, rng)
    items = np.column_stack([answers[users], random, popular])  # (n_users, 1 + 2 n_negatives)
    recent = dataset.before("test").padded(N_RECENT)[users]
    recent[:, : N_RECENT - history_len] = 0
    n_each = items.shape[1]
    return Questions(
        np.repeat(users, n_each),
        items.ravel(),
        np.repeat(recent, n_each, axis=0),
        np.tile(np.repeat([0, 1, 2], [1, n_negatives, n_negatives]), len(users)),
    )


def popularity_fifths(count: IntArray) -> IntArray:
    """Fifth of the catalogue by popularity, 0 the least popular: (n_items + 1,), -1 for padding."""
    n_items = len(count) - 1
    fifth = np.full(n_items + 1, -1)
    fifth[np.argsort(count[1:], kind="stable") + 1] = N_FIFTHS * np.arange(n_items) // n_items
    return fifth


def chances(response: Response, world: World, asked: Questions) -> FloatArray:
    """A click model's chance of acceptance, NaN where it gives none: (n,)."""
    user, item, recent = (
        torch.from_numpy(part).to(world.device)
        for part in (asked.user_idx, asked.item_idx, asked.recent)
    )
    interest = (world.user_vectors[user] * world.item_vectors[item]).sum(1)
    found: FloatArray = response.respond(Shown(user, item, recent, interest, 0.0)).cpu().numpy()
    return found


def click_model_figures(
    given: FloatArray,
    given_backwards: FloatArray,
    asked: Questions,
    count: IntArray,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """All that is said of one click model.

    Without an answer there is a refusal, as in guidance: a chance of 0.

    Parameters
    ----------
    given, given_backwards : float arrays, shape (n,)
        Chances for the questions, and with the histories backwards.
    count : int array, shape (n_items + 1,)
        Popularity of items.
    """
    chance, backwards = np.nan_to_num(given), np.nan_to_num(given_backwards)
    return {
        **discrimination(given, asked, bootstrap),
        **_calibration(chance, asked.are("real"), bootstrap),
        "popularity": _popularity(chance, asked, count, bootstrap),
        "order": agreement(chance, backwards, bootstrap),
    }


def discrimination(given: FloatArray, asked: Questions, bootstrap: Bootstrap) -> dict[str, Any]:
    """Balanced accuracy, AUC, mean chance by kind of item, and what kind of answers there are.

    `share_graded` of the chances are neither 0 nor 1: none where only digits were read.
    """
    chance, is_real = np.nan_to_num(given), asked.are("real")

    def against(kind: str) -> Interval:
        among = is_real | asked.are(kind)
        return bootstrap(lambda weight: auc(chance, is_real, weight * among))

    def mean_of(kind: str) -> Interval:
        return bootstrap(lambda weight: mean(chance, weight * asked.are(kind)))

    return {
        "accuracy": bootstrap(lambda weight: balanced_accuracy(chance, is_real, weight)),
        "auc": {kind: against(kind) for kind in KINDS[1:]},
        "mean_chance": {kind: mean_of(kind) for kind in KINDS},
        "share_without_answer": float(np.isnan(given).mean()),
        "share_graded": float(((chance > 0) & (chance < 1)).mean()),
    }


def _calibration(chance: FloatArray, is_real: BoolArray, bootstrap: Bootstrap) -> dict[str, Any]:
    """Brier score, expected calibration error, and the reliability curve."""
    place = bins(chance)

    def one(number: int) -> dict[str, Any]:
        inside = (place == number).astype(np.float64)
        return {
            "n": int(inside.sum()),
            "mean_chance": mean(chance, inside),
            "share_real": bootstrap(lambda weight: mean(is_real, weight * inside)),
        }

    return {
        "brier": bootstrap(lambda weight: brier_score(chance, is_real, weight)),
        "calibration_error": bootstrap(lambda weight: calibration_error(chance, is_real, weight)),
        "reliability": [one(number) for number in np.unique(place)],
    }


def _popularity(
    chance: FloatArray, asked: Questions, count: IntArray, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Acceptance of the random items by how popular they are."""
    is_random, popular = asked.are("random"), count[asked.item_idx].astype(np.float64)
    fifth_of = popularity_fifths(count)

    def one(fifth: int) -> dict[str, Any]:
        within = count[fifth_of == fifth]
        inside = is_random & (fifth_of[asked.item_idx] == fifth)
        return {
            "least": int(within.min()),
            "most": int(within.max()),
            "n": int(inside.sum()),
            "mean_chance": bootstrap(lambda weight: mean(chance, weight * inside)),
        }

    return {
        "rank_correlation": bootstrap(
            lambda weight: rank_correlation(chance, popular, weight * is_random)
        ),
        "fifths": [one(int(fifth)) for fifth in np.unique(fifth_of[1:])],
    }


def _drawn(weight: FloatArray, n: int, rng: np.random.Generator) -> IntArray:
    """Columns drawn without replacement in proportion to their weights: (n_rows, n).

    The largest n of log weights with Gumbel noise, which is such a draw for all rows at once.
    """
    with np.errstate(divide="ignore"):
        key = np.log(weight) + rng.gumbel(size=weight.shape)
    most = int((weight > 0).sum(1).min())
    if n > most:
        raise InvalidInputError(
            f"n_negatives must be at most {most}, the number of items that some user could still "
            f"be shown, got {n}"
        )
    return np.argsort(-key, axis=1)[:, :n]
