"""The tasks of a benchmark by others, each once those before it are done, over one store."""

import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from proactrec.distributed.running import Do, Part, Runner
from proactrec.distributed.versions import check_versions, versions
from proactrec.errors import ArtefactError
from proactrec.evaluation.benchmark.tasks import How, Task, Workshop
from proactrec.threads import stand_beside_others


@dataclass(frozen=True)
class Grid:
    """Tasks that are done where the store is: nothing is sent but what is to be done.

    Parameters
    ----------
    workshop : Workshop
    mark : Path
        File in the store, by which workers on other machines see that theirs is the same one.
    started_in : Path
        Where relative names of policies' files begin.
    made_by : mapping
        Versions of packages; who has others may not do it.
    """

    workshop: Workshop
    mark: Path
    started_in: Path = field(default_factory=Path.cwd)
    made_by: Mapping[str, str] = field(default_factory=versions)

    @property
    def folder(self) -> Path:
        """The store."""
        return self.workshop.store

    @property
    def files(self) -> tuple[Path, ...]:
        """None."""
        return ()

    def opened(self, folder: Path) -> Do:
        """A process ready for tasks.

        Raises
        ------
        ArtefactError
            If it has other packages, or does not see the store.
        """
        check_versions(self.made_by)
        if not self.mark.exists():
            raise ArtefactError(
                f"a worker on {os.uname().nodename} does not see {self.folder}: all nodes need the "
                "same --store, in a folder that they share"
            )
        if self.started_in.is_dir():
            os.chdir(self.started_in)
        stand_beside_others()

        def do(task: Task) -> Any:
            return task.attempted(self.workshop)

        return do


def by(run: Runner) -> How:
    """The way to do a benchmark's tasks by others."""

    def done(workshop: Workshop, tasks: Sequence[Task]) -> Iterator[tuple[int, Any]]:
        order = TopologicalSorter({place: task.after for place, task in enumerate(tasks)})
        order.prepare()

        def parts() -> Iterator[Part]:
            while order.is_active():
                places = order.get_ready()
                yield from ((place, tasks[place]) for place in places)
                if not places:
                    yield None

        with marked(workshop) as grid:
            for place, result in run(grid, parts()):
                yield place, result
                order.done(place)

    return done


@contextmanager
def marked(workshop: Workshop) -> Iterator[Grid]:
    """Tasks over a store, in which a mark lies meanwhile."""
    store, data_dir = workshop.store.absolute(), workshop.data_dir
    store.mkdir(parents=True, exist_ok=True)
    mark = store / f".seen-{uuid.uuid4().hex}"
    mark.touch()
    try:
        where = None if data_dir is None else data_dir.absolute()
        yield Grid(Workshop(store, where, workshop.device), mark)
    finally:
        mark.unlink()
