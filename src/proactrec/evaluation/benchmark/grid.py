"""The cells of a benchmark: every method in every world with every seed."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from proactrec.config import digest
from proactrec.errors import InvalidInputError
from proactrec.evaluation.benchmark.suites import Changes
from proactrec.evaluation.experiment import ExperimentOptions
from proactrec.evaluation.protocols import protocol_of
from proactrec.measurement.results import CellResult
from proactrec.simulator.worlds import named_world


class Cell(NamedTuple):
    """One experiment of a grid."""

    method: str
    options: ExperimentOptions
    named_world: str | None = None

    @property
    def name(self) -> tuple[str, ...]:
        """What tells it from all other cells of a benchmark."""
        options = self.options
        data = f"{options.dataset.name}-{digest(options.dataset.model_dump(mode='json'))}"
        return (data, options.protocol.name, self.world, self.method, str(options.seed))

    @property
    def text(self) -> str:
        """The name, to be read."""
        return " ".join([self.options.dataset.name, *self.name[1:]])

    @property
    def world(self) -> str:
        """Name of the simulated users: slope; vectors and receptivity where they are unusual."""
        if self.named_world is not None:
            return self.named_world
        protocol, said = self.options.protocol, [str(self.options.protocol.world.world)]
        if self.options.hidden != "interest":
            said.append(self.options.hidden)
        if protocol.world.receptivity != protocol_of(protocol.name).world.receptivity:
            said.append(protocol.world.receptivity)
        return ", ".join(said)

    def result(self, measured: Mapping[str, Any]) -> CellResult:
        """What was measured, under the cell's name."""
        options = self.options.protocol.measured.model_dump(mode="json")
        return CellResult(method=self.method, world=self.world, metric_options=options, **measured)


def grid(
    bases: Sequence[ExperimentOptions],
    methods: Mapping[str, Changes],
    worlds: Sequence[Changes] = ({},),
    seeds: Sequence[int] = (0,),
    *,
    named_worlds: Sequence[str] = (),
) -> list[Cell]:
    """Every base with every method, world and seed.

    Worlds are those of `worlds` and, beside them, `named_worlds`.

    Raises
    ------
    InvalidInputError
        If there is nothing to run, or two cells would have the same name.
    """
    named: list[tuple[str | None, Changes]] = [(None, world) for world in worlds]
    named += [(name, named_world(name).changes()) for name in named_worlds]
    cells = [
        Cell(method, base.changed({**changes, **world, "seed": seed}), name)
        for base in bases
        for name, world in named
        for method, changes in methods.items()
        for seed in seeds
    ]
    if not cells or len({cell.name for cell in cells}) < len(cells):
        raise InvalidInputError(
            f"a benchmark needs methods, worlds and seeds that differ, got {list(methods)}, "
            f"{[*worlds, *named_worlds]} and {list(seeds)}"
        )
    return cells
