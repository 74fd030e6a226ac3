"""How long work tells its caller how far it is; the library itself never prints."""

from typing import Protocol


class Progress(Protocol):
    """Called as work goes on: `done` of `total` steps of `stage`, with a short `note`."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Take note of one more step."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Say nothing."""
