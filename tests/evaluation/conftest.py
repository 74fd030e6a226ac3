"""Toy data sets, encoders and worlds of the evaluation tests."""

from collections.abc import Callable

import pytest

from proactrec.data.dataset import Dataset
from proactrec.testing import toys


@pytest.fixture(scope="session")
def dataset_of() -> Callable[..., Dataset]:
    return toys.dataset_of


@pytest.fixture(scope="session")
def toy() -> toys.Toy:
    return toys.toy()
