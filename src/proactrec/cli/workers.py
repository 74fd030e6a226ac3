"""Who does the work of a command that processes or a Ray cluster may do, with the same files."""

from typing import TYPE_CHECKING, Annotated

import typer

from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    from proactrec.distributed.running import Runner

MOST_PROCESSES = 1024
HOW = "How it is done (the files are the same)"
RAY = (
    "Address of a Ray cluster, auto for the one that this machine is of, or local for one of its "
    "own (extra ray)."
)
Processes = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_PROCESSES,
        help="Processes of this machine, one core and all models each.",
        rich_help_panel=HOW,
    ),
]
Ray = Annotated[str | None, typer.Option(help=RAY, rich_help_panel=HOW)]
ShardSize = Annotated[
    int,
    typer.Option(
        min=1, help="Journeys in a file, and in the memory of a process at a time, at most."
    ),
]


def runner(n: int | None, ray: str | None, option: str = "--processes") -> "Runner":
    """Who is asked for: so many processes, Ray at an address, or this process.

    Raises
    ------
    InvalidInputError
        If both are.
    """
    from proactrec.distributed.running import here

    if n is not None and ray is not None:
        raise InvalidInputError(f"give {option} or --ray, not both: Ray knows its cores")
    if ray is not None:
        from proactrec.distributed.on_ray import OnRay

        return OnRay(ray)
    if n is not None and n > 1:
        from proactrec.distributed.processes import Processes

        return Processes(n)
    return here
