"""How work in parts is run: here by this process, in files of their own by others."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

Do = Callable[[Any], Any]
"""From what is given of a part to what is made of it: a function, of nothing else."""
Part = tuple[Any, Any] | None
"""Name of a part, such as its shard, and what is given of it; None: what comes next can only begin
once more is done."""
Done = tuple[Any, Any]
"""Name of a part, and what was made of it."""


class Work(Protocol):
    """What is done with every part: a value, which is sent to whoever does it."""

    @property
    def folder(self) -> Path:
        """Where that lies which it needs."""
        ...

    @property
    def files(self) -> Iterable[Path]:
        """What of the folder is sent along to another machine."""
        ...

    def opened(self, folder: Path) -> Do:
        """What is done with parts, once the folder was read; it may be deleted afterwards."""
        ...


class Runner(Protocol):
    """Who does the work.

    Parts are taken as there is room for them, so that memory does not grow with their number, and
    what is made of them comes in any order. Of shards only the caller reads and writes: whoever
    dies at work leaves nothing behind, and the part is done again.
    """

    def __call__(self, work: Work, parts: Iterable[Part]) -> Iterator[Done]:
        """What is made of every part, as it comes."""
        ...


def here(work: Work, parts: Iterable[Part]) -> Iterator[Done]:
    """Do it in this process, one part after the other."""
    do = work.opened(work.folder)
    for part in parts:
        if part is not None:
            yield part[0], do(part[1])
