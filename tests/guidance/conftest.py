"""The toy that tests of guidance play in, and guides that are fitted once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from proactrec.guidance.saved import SavedGuide, open_guide

from .fitted import POLICIES, fit
from .toys import Toy, made


@pytest.fixture(scope="session")
def toy() -> Toy:
    return made()


@pytest.fixture(scope="session")
def fitted(made_once: Callable[..., Path]) -> Path:
    """Folder with the guide of every policy, each in a folder of its name."""

    def fill(folder: Path) -> None:
        for policy in POLICIES:
            fit(folder, policy).save(folder / policy)

    return made_once("guides", fill)


@pytest.fixture(scope="session")
def foresight(fitted: Path) -> SavedGuide:
    return open_guide(fitted / "foresight")
