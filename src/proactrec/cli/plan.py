"""`proactrec plan`: what millions of users are shown next, from Parquet to Parquet."""

from pathlib import Path
from typing import Annotated, Any

import typer

from proactrec.cli import console, options, workers
from proactrec.cli.setup import listed_ids
from proactrec.distributed.shards import SHARD_SIZE


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
    shard_size: workers.ShardSize = SHARD_SIZE,
    processes: workers.Processes = None,
    ray: workers.Ray = None,
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
    run = workers.runner(processes, ray)
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


def _tell(summary: dict[str, Any], out: Path) -> None:
    console.warn([f"{n:,} {why}" for why, n in summary["problems"].items()])
    console.note(
        f"{summary['rows']:,} rows in {summary['files']:,} files: {summary['guided']:,} guided, "
        f"{summary['plain']:,} plain, {summary['nothing']:,} with nothing to show: {out}"
    )
