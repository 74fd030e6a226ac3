r"""Scores of items by two inner products, as policies choose by them.

With :math:`a = u^\top x_i` of user and item, and :math:`b = t^\top x_i` of target and item, all of
them are functions of (a, b) and of one number per item, so that bounds on a and b bound them.
"""

from typing import Literal, NamedTuple

import numpy as np

from proactrec.types import FloatArray, SingleArray

Kind = Literal["relevance", "guided", "foreseen"]
KINDS: tuple[Kind, ...] = ("relevance", "guided", "foreseen")
EMPTY = np.zeros(0, np.float32)


class Score(NamedTuple):
    r"""What one journey's items are ranked by.

    ========= ==================================================================================
    relevance :math:`f(a) + w_i`
    guided    :math:`(f(a) + w_i)\,(b / |x_i| - h)`, or with :math:`b - h` (`by_unit` is False)
    foreseen  :math:`\sigma(k a + w_i)\,(c\,g + p)`, with the gain
              :math:`g = (s h + (1 - s) b) / \ell - h` and
              :math:`\ell^2 = s^2 + (1 - s)^2 + 2 s (1 - s) a`
    ========= ==================================================================================

    f is the sigmoid (`is_sigmoid`) or nothing, h is `here`, k `slope`, c `interest`, p `step`,
    s `kept_share`.
    """

    kind: Kind
    user: SingleArray  # (d,) float32
    target: SingleArray  # (d,) float32; zeros where only relevance counts
    per_item: SingleArray = EMPTY  # (n_items + 1,) float32, w; empty: zeros
    span: tuple[float, float] = (0.0, 0.0)  # least and largest w; `foreseen` has no use for it
    here: float = 0.0
    is_sigmoid: bool = False
    by_unit: bool = False
    slope: float = 1.0
    interest: float = 1.0
    step: float = 0.0
    kept_share: float = 0.8

    def numbers(self) -> FloatArray:
        """All that is a number, as the pass over the table reads it: (11,)."""
        sizes = [float(np.linalg.norm(x)) for x in (self.user, self.target)]
        switches = float(self.is_sigmoid), float(self.by_unit)
        own = self.here, self.slope, self.interest, self.step, self.kept_share
        return np.array([*sizes, *self.span, *own, *switches], np.float64)
