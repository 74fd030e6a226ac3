"""What a study draws: its pictures by file name, each made on call from the page's figures."""

from collections.abc import Callable, Mapping
from typing import Any

Pictures = Mapping[str, Callable[[], Any]]
"""File name → what makes its matplotlib figure: names are known without drawing."""
