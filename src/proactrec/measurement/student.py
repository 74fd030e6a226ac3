"""Student's t: as tables print it for whole degrees of freedom, and for any number of them."""

from statistics import NormalDist

import numpy as np

from proactrec.types import FloatArray

T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
)  # fmt: skip
"""Student's t at 97.5 % for 1, 2, … 29 degrees of freedom, for means over seeds; beyond: 1.96."""


def student_quantile(level: float, freedom: FloatArray) -> FloatArray:
    """Quantiles of Student's t, to 0.002 from 5 degrees of freedom on for levels up to 0.975.

    Abramowitz and Stegun, 26.7.5: an expansion about the normal quantile.
    """
    z = NormalDist().inv_cdf(level)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    found: FloatArray = z + sum(
        (term / freedom**power for power, term in enumerate(terms, start=1)), np.zeros_like(freedom)
    )
    return found
