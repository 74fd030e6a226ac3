"""Tasks of a benchmark by others: each after those before it, over a store that all see."""

from pathlib import Path

import pytest

from proactrec.distributed.grids import Grid, by
from proactrec.distributed.running import here
from proactrec.errors import ArtefactError
from proactrec.evaluation.benchmark.tasks import Task, Workshop
from proactrec.threads import one_thread

from ..e2e.conftest import Command
from .conftest import Small


def test_tasks_come_after_those_before_them(small: Small, tmp_path: Path) -> None:
    done: list[str] = []

    def note(workshop: Workshop, options: object) -> int:
        done.append(workshop.store.name)
        return len(done)

    after = [(3,), (), (1,), (1, 2), (0, 3)]
    tasks = [Task("stage", note, small.options(), frozenset(places)) for places in after]
    with one_thread():  # which a worker is held to for good
        order = [place for place, _ in by(here)(Workshop(tmp_path / "store"), tasks)]
    assert sorted(order) == [0, 1, 2, 3, 4]
    before = [(one, place) for place, places in enumerate(after) for one in places]
    assert all(order.index(one) < order.index(place) for one, place in before)
    assert done == ["store"] * 5
    assert list((tmp_path / "store").iterdir()) == []


def test_who_does_not_see_the_store_refuses(tmp_path: Path) -> None:
    work = Grid(Workshop(tmp_path), tmp_path / ".seen-1")
    with pytest.raises(ArtefactError, match=r"does not see .*: all nodes need the same --store"):
        work.opened(tmp_path)
    other = Grid(Workshop(tmp_path), tmp_path / ".seen-1", made_by={"proactrec": "0.0.1"})
    with pytest.raises(ArtefactError, match="a worker has other versions"):
        other.opened(tmp_path)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("benchmark --workers 2 --ray local", "give --workers or --ray, not both"),
        ("train --ranks 2", "--ranks needs --ray; without Ray, torchrun"),
        ("train --ray local --encoder-folder x", "--ray trains an encoder"),
    ],
)
def test_bad_input_is_one_sentence(
    command: str, sentence: str, here: Command, tmp_path: Path
) -> None:
    outcome = here(*command.split(), "--dataset", "demo", "--out", tmp_path / "out")
    assert (outcome.code, len(outcome.errors)) == (2, 1), outcome.stderr
    assert sentence in outcome.errors[0]
