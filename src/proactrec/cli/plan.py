"""`proactrec plan`: what millions of users are shown next, from Parquet to Parquet."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from proactrec.cli import console, options
from proactrec.cli.setup import listed_ids
from proactrec.distributed.shards import SHARD_SIZE
from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    from proactrec.distributed.running import Runner

HOW = "How it is done (the files are the same)"


def plan(
    folder: options.GuideFolder,
    users: Annotated[
        Path,
        typer.Option(
            help="Parquet file, or folder of such, with a row a user: user_id and item_ids, a list "
            "of what the user had, oldest first. `proactrec data histories` makes it."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder to write: a Parquet file a shard, plan.json first, summary.json last."
        ),
    ],
    target: options.Targets = None,
    category: options.Category = None,
    opt_out: options.OptOut = None,
    n_rounds: options.Rounds = None,
    seed: options.GuideSeed = None,
    shard_size: Annotated[
        int,
        typer.Option(
            min=1, help="Journeys in a file, and in the memory of a process at a time, at most."
        ),
    ] = SHARD_SIZE,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes of this machine, one core and one opened guide each.",
            rich_help_panel=HOW,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Address of a Ray cluster, auto for the one that this machine is of, or local for "
            "one of its own (extra ray).",
            rich_help_panel=HOW,
        ),
    ] = None,
) -> None:
    """Plan what many users are shown next on the way to a target, from Parquet to Parquet.

    The rows are those of `proactrec next`, a file for each shard of users; memory does not grow
    with their number. Killed at any moment, the same command goes on with the files that are
    missing. Rails that count all users together are kept in the order of --users, by one process.

    Example: proactrec plan guides/shop --users histories --category Jazz --out plans/tonight
    --processes 4
    """
    from proactrec.distributed.planning import Planning
    from proactrec.distributed.plans import plan as planned

    options.check_goal(target, category)
    run = _runner(processes, ray)
    wanted = Planning(
        folder,
        tuple(dict.fromkeys(target or ())),
        category,
        n_rounds,
        seed,
        frozenset(listed_ids(opt_out) if opt_out is not None else ()),
    )
    if wanted.rails.count_users and (ray is not None or processes is not None):
        console.note("rails count all users together: one process plans, in the order of --users")
    with console.progress() as progress:
        summary = planned(wanted, users, out, shard_size=shard_size, run=run, progress=progress)
    _tell(summary, out)


def _runner(processes: int | None, ray: str | None) -> "Runner":
    from proactrec.distributed.running import here

    if processes is not None and ray is not None:
        raise InvalidInputError("give --processes or --ray, not both: Ray knows its cores")
    if ray is not None:
        from proactrec.distributed.on_ray import OnRay

        return OnRay(ray)
    if processes is not None and processes > 1:
        from proactrec.distributed.processes import Processes

        return Processes(processes)
    return here


def _tell(summary: dict[str, Any], out: Path) -> None:
    console.warn([f"{n:,} {why}" for why, n in summary["problems"].items()])
    console.note(
        f"{summary['rows']:,} rows in {summary['files']:,} files: {summary['guided']:,} guided, "
        f"{summary['plain']:,} plain, {summary['nothing']:,} with nothing to show: {out}"
    )
