"""A folder with files of every shard, what they were made from, and at last what is in them.

What it is made from is written first, and whoever goes on must ask for the same; a shard is done if
its files are there, for files appear whole; `summary.json` comes last.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from proactrec.distributed.shards import Shard
from proactrec.errors import InvalidInputError
from proactrec.files import read_json, replacing, write_json
from proactrec.progress import Progress

SUMMARY = "summary.json"
HERE = "."


class Output(NamedTuple):
    """Where files of shards go.

    Parameters
    ----------
    folder : Path
    kind : str
        What it is, in a word.
    tables : tuple of str
        Folders in it that have a file of every shard each.
    """

    folder: Path
    kind: str
    tables: tuple[str, ...] = (HERE,)

    def begin(self, about: Mapping[str, Any]) -> None:
        """Write what it is made from, or look whether that is what it was begun with.

        Raises
        ------
        InvalidInputError
            If the folder holds something else, or was begun otherwise.
        """
        path, out = self.folder / f"{self.kind}.json", self.folder
        if not path.is_file():
            if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
                raise InvalidInputError(
                    f"{out} is not empty and holds no {self.kind}: choose another folder"
                )
            write_json(path, about)
            return
        was = read_json(path)
        for name, now in about.items():
            if was.get(name) != now:
                raise InvalidInputError(
                    f"the {self.kind} in {out} was begun otherwise: {name} was "
                    f"{was.get(name)!r}, is now {now!r}; ask for the same, or choose another folder"
                )

    def files(self, table: str, shards: Sequence[Shard]) -> list[Path]:
        """Of these shards, in their order."""
        return [self.folder / table / shard.file_name for shard in shards]

    def missing(self, shards: Sequence[Shard]) -> list[Shard]:
        """Shards that are to be done; while there are any, nothing says that it is whole."""
        columns = [self.files(table, shards) for table in self.tables]
        is_done = [all(path.exists() for path in row) for row in zip(*columns, strict=True)]
        left = [shard for shard, done in zip(shards, is_done, strict=True) if not done]
        if left:
            (self.folder / SUMMARY).unlink(missing_ok=True)
        return left

    def keep(
        self,
        contents: Iterable[tuple[Shard, Sequence[bytes]]],
        n_done: int,
        total: int,
        progress: Progress,
    ) -> None:
        """Write the files of shards, one in each table, as they come.

        `n_done` of the `total` were there before.
        """
        progress(self.kind, n_done, total)
        for number, (shard, content) in enumerate(contents, n_done + 1):
            for table, part in zip(self.tables, content, strict=True):
                _write(self.folder / table / shard.file_name, part)
            progress(self.kind, number, total)

    def finish(self, summary: dict[str, Any]) -> dict[str, Any]:
        """Say what is in it, now that it is whole, and sweep away what a killed run left.

        Another process of this machine that still writes the same goes on undisturbed.
        """
        for leftover in self.folder.rglob(".*.*.[0-9]*"):
            if not _is_written(leftover):
                leftover.unlink(missing_ok=True)
        write_json(self.folder / SUMMARY, summary)
        return summary


def _is_written(partial: Path) -> bool:
    """Whether the process that a partial file is named by lives, and is another one."""
    number = partial.suffix.removeprefix(".")
    if not number.isdecimal() or int(number) == os.getpid():
        return False
    return Path(f"/proc/{number}").exists()


def _write(path: Path, content: bytes) -> None:
    """A file that appears whole, even if the machine stops."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
