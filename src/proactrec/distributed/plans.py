"""A plan: a folder with a file a shard, what it was made from, and at last what is in it."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from proactrec.config import digest
from proactrec.distributed.outputs import Output
from proactrec.distributed.planning import PROBLEMS, Planning
from proactrec.distributed.running import Done, Runner, here
from proactrec.distributed.shards import SHARD_SIZE, Shard, UserTable
from proactrec.errors import InvalidInputError
from proactrec.fitting.artefacts import file_hash
from proactrec.guidance.ledger import Spent
from proactrec.progress import Progress, silent


def plan(
    wanted: Planning,
    users: Path,
    out: Path,
    *,
    shard_size: int = SHARD_SIZE,
    run: Runner = here,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Plan for everybody in a table, as far as that is not done; gives what is in the plan.

    Rails that count all users together are kept in the order of the table, by this process:
    whoever comes first goes first, and `run` has nothing to do.

    Parameters
    ----------
    users : Path
        Parquet file, or folder of such, see :class:`UserTable`.
    out : Path
        Folder of the plan.
    shard_size : int
        Journeys of a file, at most.
    run : Runner
        Who does it; the files are the same, byte for byte.

    Raises
    ------
    InvalidInputError
        If the folder holds something else, or a plan that was begun otherwise.
    """
    if shard_size < 1:
        raise InvalidInputError(f"shard_size must be at least 1, got {shard_size}")
    wanted.check()
    table, output = UserTable.opened(users), Output(out, "plan")
    shards = table.shards(max(1, shard_size // max(1, len(wanted.target_ids))))
    output.begin(_about(wanted, table, shard_size))
    missing = output.missing(shards)
    if wanted.rails.count_users:
        contents = _in_order(wanted, table, shards, out)
    else:
        contents = run(wanted, _parts(table, missing))
    alone = ((shard, (content,)) for shard, content in contents)
    output.keep(alone, len(shards) - len(missing), len(shards), progress)
    return output.finish(_summary([out / shard.file_name for shard in shards]))


def _about(wanted: Planning, table: UserTable, shard_size: int) -> dict[str, Any]:
    """All that decides what is in the files."""
    guide = {path.relative_to(wanted.folder).as_posix(): file_hash(path) for path in wanted.files}
    return {
        "guide": digest(guide),
        "users": digest({"files": [file_hash(path) for path in table.files]}),
        "n_users": table.n_users,
        "shard_size": shard_size,
        "target_ids": list(wanted.target_ids),
        "category": wanted.category,
        "n_rounds": wanted.n_rounds,
        "seed": wanted.seed,
        "opted_out": digest({"user_ids": sorted(wanted.opted_out)}),
        "versions": dict(wanted.made_by),
    }


def _parts(table: UserTable, shards: Sequence[Shard]) -> Iterator[tuple[Shard, pl.DataFrame]]:
    return ((shard, table.rows(shard)) for shard in shards)


def _in_order(
    wanted: Planning, table: UserTable, shards: Sequence[Shard], out: Path
) -> Iterator[Done]:
    """One shard after the other, each with what those before it left of the caps."""
    planner = wanted.opened(wanted.folder)
    before, now = planner.nothing_spent(), planner.nothing_spent()
    if table.has_rounds:
        for _, rows in _parts(table, shards):
            before += planner.led_before(rows)
    for shard in shards:
        path = out / shard.file_name
        if path.exists():
            content = path.read_bytes()
        else:
            content = planner(table.rows(shard), Spent(before, now))
            yield shard, content
        now = now + planner.led_now(content)


def _summary(files: list[Path]) -> dict[str, Any]:
    """What is in a plan that is whole."""
    nothing, guided = pl.col("item_id").is_null().sum(), pl.col("guided").sum()
    counts = pl.scan_parquet(files, glob=False).select(
        rows=pl.len(), guided=guided, plain=pl.len() - guided - nothing, nothing=nothing
    )
    problems = Counter[str]()
    for path in files:
        problems.update(json.loads(pl.read_parquet_metadata(path)[PROBLEMS]))
    return {
        "files": len(files),
        **counts.collect(engine="streaming").row(0, named=True),
        "problems": dict(sorted(problems.items())),
    }
