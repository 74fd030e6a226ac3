"""The toy that tests of guidance play in."""

import pytest

from .toys import Toy, made


@pytest.fixture(scope="session")
def toy() -> Toy:
    return made()
