"""`proactrec estimate`: what a size will cost on this machine, before it is paid."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from proactrec.cli import console, options, results
from proactrec.cli.flags import built, flags_of, takes
from proactrec.errors import InvalidInputError
from proactrec.estimating.size import Size

if TYPE_CHECKING:
    from proactrec.estimating.estimate import Estimate

FLAGS = flags_of(Size, None, *Size.model_fields)
MIB, GIB = 2**20, 2**30
SMALL = 1.0
"""MiB below which a part is not worth a line."""


@takes(FLAGS)
def estimate(
    rates: Annotated[
        Path | None,
        typer.Option(
            help="JSON of the machine in question, as this command gives it there with --json. "
            "This machine by default, which is measured in about a second."
        ),
    ] = None,
    json: options.Json = False,
    **values: Any,
) -> None:
    """Say what a size will cost: time and memory of every stage, and whether it fits.

    Times are rooflines of this machine by measured factors, memory is added up from formulas; both
    are compared with what was taken in docs/results/estimated.md. A rough guide to time, a closer
    one to memory; metrics and reports are not counted. Run it on a quiet machine.

    Example: proactrec estimate --users 100000 --items 20000 --targets 1 --rounds 20
    """
    for name in ("users", "items"):
        if values[name] is None:
            raise InvalidInputError(f"--{name} must say how many there are, got nothing")
    size = built(Size, FLAGS, values)
    from proactrec.estimating.estimate import estimated
    from proactrec.estimating.rates import Rates

    found = estimated(size, Rates.measured() if rates is None else Rates.load(rates))
    if json:
        results.print_json(found.content())
    else:
        _show(found)


def _show(found: "Estimate") -> None:
    terminal = console.Terminal()
    for table in (_stages(found), _parts(found)):
        terminal.print(table)
    for line in _said(found):
        terminal.print(line, soft_wrap=True, highlight=False)


def _stages(found: "Estimate") -> Table:
    table = Table(box=None, pad_edge=False)
    for name, side in (
        ("stage", "left"),
        ("times", "right"),
        ("each", "right"),
        ("together", "right"),
        ("bound by", "left"),
        ("memory, GiB", "right"),
    ):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for stage in found.stages:
        together = duration(stage.times * stage.seconds) if stage.is_in_run else "not in a run"
        each, memory = duration(stage.seconds), f"{stage.memory / GIB:.2f}"
        table.add_row(stage.name, f"{stage.times}", each, together, stage.bound_by, memory)
    return table


def _parts(found: "Estimate") -> Table:
    """Memory of the stage that takes most."""
    table = Table(box=None, pad_edge=False, title_justify="left")
    table.title = f"\nmemory of a process in its largest stage ({found.largest.name})"
    for name in ("part", "MiB", "held", "formula, in bytes"):
        table.add_column(name, justify="right" if name == "MiB" else "left")
    for part in found.largest.parts:
        if part.n_bytes >= SMALL * MIB:
            table.add_row(part.name, f"{part.n_bytes / MIB:,.0f}", part.held, part.words)
    return table


def _said(found: "Estimate") -> list[str]:
    """The answer in sentences."""
    size, rates = found.size, found.rates
    most, free = (f"{n / GIB:.1f} GiB" for n in (found.largest.memory, rates.memory))
    fits = "it fits" if found.fits else "it does not fit"
    events = "" if size.interactions else f" ({size.history:.0f} interactions a user assumed)"
    return [
        "",
        f"a run: {duration(found.seconds)}{events}, every training of {size.epochs} epochs",
        f"memory at most: {most} of {free} that are free: {fits}",
        *(f"would fit: {one}" for one in found.content()["advice"]),
        f"rates: {rates.products / 1e9:.0f} GFLOP/s a core in products, {rates.cores} cores, "
        f"{rates.bandwidth / 1e9:.0f} GB/s of one and {rates.bandwidth_together / 1e9:.0f} of all",
    ]


def duration(seconds: float) -> str:
    """A time, as people say it."""
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
