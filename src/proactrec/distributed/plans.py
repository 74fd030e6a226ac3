"""A plan: a folder with a file a shard, what it was made from, and at last what is in it.

`plan.json` is written first, and whoever goes on must ask for the same; a shard is done if its file
is there, for files appear whole; `summary.json` comes last.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from proactrec.config import digest
from proactrec.distributed.planning import PROBLEMS, Planning
from proactrec.distributed.running import Done, Part, Runner, here
from proactrec.distributed.shards import SHARD_SIZE, Shard, UserTable
from proactrec.errors import InvalidInputError
from proactrec.files import read_json, replacing, write_json
from proactrec.fitting.artefacts import file_hash
from proactrec.guidance.ledger import Spent
from proactrec.progress import Progress, silent

ABOUT, SUMMARY = "plan.json", "summary.json"


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
    table = UserTable.opened(users)
    shards = table.shards(max(1, shard_size // max(1, len(wanted.target_ids))))
    _begin(out, _about(wanted, table, shard_size))
    missing = [shard for shard in shards if not (out / shard.file_name).exists()]
    if missing:
        (out / SUMMARY).unlink(missing_ok=True)
    if wanted.rails.count_users:
        contents = _in_order(wanted, table, shards, out)
    else:
        contents = run(wanted, _parts(table, missing))
    n_done = len(shards) - len(missing)
    progress("plan", n_done, len(shards))
    for shard, content in contents:
        _keep(out / shard.file_name, content)
        n_done += 1
        progress("plan", n_done, len(shards))
    return _finished(out, shards)


def _about(wanted: Planning, table: UserTable, shard_size: int) -> dict[str, Any]:
    """All that decides what is in the files."""
    folder = wanted.folder
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "guide": digest({path.relative_to(folder).as_posix(): file_hash(path) for path in files}),
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


def _begin(out: Path, about: Mapping[str, Any]) -> None:
    """Write what the plan is made from, or look whether that is what it was begun with."""
    if not (out / ABOUT).is_file():
        if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
            raise InvalidInputError(f"{out} is not empty and holds no plan: choose another folder")
        write_json(out / ABOUT, about)
        return
    was = read_json(out / ABOUT)
    for name, now in about.items():
        if was.get(name) != now:
            raise InvalidInputError(
                f"the plan in {out} was begun otherwise: {name} was {was.get(name)!r}, is now "
                f"{now!r}; ask for the same, or choose another folder"
            )


def _parts(table: UserTable, shards: Sequence[Shard]) -> Iterator[Part]:
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


def _keep(path: Path, content: bytes) -> None:
    """Write a file that appears whole, even if the machine stops."""
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _finished(out: Path, shards: Sequence[Shard]) -> dict[str, Any]:
    """Say what is in a plan that is whole, and sweep away what a killed run left."""
    for leftover in out.glob(".*.*.[0-9]*"):
        leftover.unlink(missing_ok=True)
    files = [out / shard.file_name for shard in shards]
    nothing, guided = pl.col("item_id").is_null().sum(), pl.col("guided").sum()
    counts = pl.scan_parquet(files, glob=False).select(
        rows=pl.len(), guided=guided, plain=pl.len() - guided - nothing, nothing=nothing
    )
    problems = Counter[str]()
    for path in files:
        problems.update(json.loads(pl.read_parquet_metadata(path)[PROBLEMS]))
    summary = {
        "files": len(files),
        **counts.collect(engine="streaming").row(0, named=True),
        "problems": dict(sorted(problems.items())),
    }
    write_json(out / SUMMARY, summary)
    return summary
