"""How widely something is spread over kinds."""

import numpy as np

from proactrec.types import FloatArray


def entropy(counts: FloatArray) -> FloatArray:
    """Entropy, in bits, of counts by kind along the last axis, which goes.

    0 when all are of one kind, log2(number of kinds) when there are as many of each.
    """
    share = counts / np.maximum(counts.sum(-1, keepdims=True), 1e-12)
    bits: FloatArray = -(share * np.log2(np.maximum(share, 1e-12))).sum(-1)
    return bits
