"""The same story by the keyboard alone, in a file of its own, so that another process plays it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .browsing import Keys
from .test_story import lived


@pytest.mark.slow
def test_a_campaign_from_its_goal_to_its_end_by_keys(
    browser: Browser, guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    lived(Keys, "sqlite", 1280, browser, guide_folder("foresight"), tmp_path)
