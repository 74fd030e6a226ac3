"""Scores by the formulas, in float64, one journey at a time: what a search is judged by."""

import numpy as np

from proactrec.retrieval.scores import Score
from proactrec.types import FloatArray, IntArray


def sigmoid(x: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-x))


def scores(score: Score, items: FloatArray) -> FloatArray:
    """Of every item (n, d), as :class:`Score` defines it."""
    x = items.astype(np.float64)
    a, b = x @ score.user.astype(np.float64), x @ score.target.astype(np.float64)
    w = score.per_item.astype(np.float64) if score.per_item.size else np.zeros(len(x))
    if score.kind == "foreseen":
        s, h = score.kept_share, score.here
        length = np.sqrt(np.maximum(s**2 + (1 - s) ** 2 + 2 * s * (1 - s) * a, 1e-12))
        gain = (s * h + (1 - s) * b) / length - h
        return sigmoid(score.slope * a + w) * (score.interest * gain + score.step)
    f = (sigmoid(a) if score.is_sigmoid else a) + w
    if score.kind == "relevance":
        return f
    if score.by_unit:
        b = b / np.maximum(np.linalg.norm(x, axis=1), 1e-12)
    return f * (b - score.here)


def best(score: Score, items: FloatArray, penalty: FloatArray, k: int) -> IntArray:
    """The best k that may be shown, the first of equals first."""
    found = np.where(penalty == 0, scores(score, items), -np.inf)
    order = np.argsort(-found, kind="stable")[:k]
    return order[found[order] > -np.inf]
