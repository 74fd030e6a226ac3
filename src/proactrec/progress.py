"""How long work tells its caller how far it is; nothing is printed unless that is asked for."""

import sys
import time
from typing import Protocol

LINE_EVERY_S = 10.0


class Progress(Protocol):
    """Called as work goes on: `done` of `total` steps of `stage`, with a short `note`."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Take note of one more step."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Say nothing."""


class PrintedProgress:
    """Lines on standard error: at both ends of every stage, and now and then between.

    Parameters
    ----------
    every_s : float
        Seconds between two lines.
    """

    def __init__(self, every_s: float = LINE_EVERY_S) -> None:
        self._every_s, self._said_at = every_s, -every_s
        self._heard: tuple[str, int] | None = None

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Say it, unless it is between the ends of a stage and something was just said."""
        now, heard = time.monotonic(), (stage, done)
        begins = done == 0 and heard != self._heard
        self._heard = heard
        if begins or done == total or now - self._said_at >= self._every_s:
            self._said_at = now
            print(f"{stage} {done}/{total} {note}".rstrip(), file=sys.stderr, flush=True)
