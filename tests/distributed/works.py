"""Works on shards whose workers misbehave; processes import them by the name of this module."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from proactrec.distributed.running import Do
from proactrec.errors import DataError


@dataclass(frozen=True)
class Sums:
    """Adds up a column, but is killed, or fails, at shards with some value."""

    folder: Path
    kills: int = -1
    fails: int = -1
    is_once: bool = True

    @property
    def files(self) -> list[Path]:
        """What is to be added."""
        return [self.folder / "more"]

    def opened(self, folder: Path) -> Do:
        """Reads what is to be added to every sum."""
        more = int((folder / "more").read_text())

        def do(rows: pl.DataFrame) -> bytes:
            values = rows["value"].to_list()
            mark = self.folder / "killed"
            if self.kills in values and not (self.is_once and mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if self.fails in values:
                raise DataError(f"value {self.fails} is bad")
            return str(sum(values) + more).encode()

        return do
