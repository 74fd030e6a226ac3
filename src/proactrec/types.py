"""Array aliases and closed choices shared by every package."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
SingleArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

FilterName = Literal["paper", "k-core", "none"]
Repeats = Literal["earliest", "latest", "refuse"]
PADDING = 0
"""Item index of padding: item rows count from 1 everywhere inside proactrec."""
ACCEPTED, REFUSED, UNKNOWN = 1, 0, -1
"""How a user answered to what was shown; unknown: not yet, or nothing was shown."""
