"""Fixtures that every test may use."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the published data sets, which may not be redistributed with the package."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("PROACTREC_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"published data sets are not at {folder}: set PROACTREC_DATA")
    return folder
