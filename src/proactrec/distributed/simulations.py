"""Simulations in shards: who is guided to what becomes steps and outcomes in Parquet."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from proactrec.config import digest
from proactrec.data.dataset import Dataset
from proactrec.distributed.outputs import Output
from proactrec.distributed.running import Runner, here
from proactrec.distributed.shards import SHARD_SIZE, cut, parquet_files, rows_of
from proactrec.distributed.simulation import OUTCOMES, RAILS, STEPS, Simulation
from proactrec.errors import DataError, InvalidInputError, UnknownIdError
from proactrec.evaluation.experiment import Experiment
from proactrec.evaluation.pairs import Pairs
from proactrec.files import replacing
from proactrec.fitting.artefacts import MANIFEST, file_hash
from proactrec.progress import Progress, silent
from proactrec.types import IntArray

JOURNEYS = "journeys"
"""Folder of who is guided to what, a file a target."""
ROW_GROUP = 10_000


def simulate(
    experiment: Experiment,
    out: Path,
    *,
    users: Path | None = None,
    encoder_folder: Path | None = None,
    shard_size: int = SHARD_SIZE,
    run: Runner = here,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Play all journeys of an experiment, as far as that is not done; gives what came of them.

    Rows of all files of `steps`, in their order, are those of the experiment's log, byte for byte,
    where a shard holds a whole number of the guide's blocks: `shard_size` is rounded down to that,
    unless it is smaller than one.

    Parameters
    ----------
    out : Path
        Folder to write: `steps` and `outcomes`, see :mod:`.simulation`.
    users : Path, optional
        Parquet file, or folder of such, with `user_id`: who is simulated, instead of the
        experiment's users.
    shard_size : int
        Journeys of a file, at most.
    run : Runner
        Who does it; the files are the same, byte for byte.

    Raises
    ------
    InvalidInputError
        If journeys can't be played apart, or the folder holds something else, or a simulation that
        was begun otherwise.
    """
    if shard_size < 1:
        raise InvalidInputError(f"shard_size must be at least 1, got {shard_size}")
    wanted = Simulation.of(experiment, encoder_folder)
    user_idx = experiment.guided_users if users is None else _listed(users, experiment.dataset)
    block = experiment.guide.play_size
    size = max(shard_size // block * block, min(shard_size, block))
    output = Output(out, "simulation", (STEPS, OUTCOMES))
    output.begin(_about(wanted, experiment, user_idx, size))
    table = _journeys(experiment, user_idx, out / JOURNEYS)
    shards = cut(pl.scan_parquet(table, glob=False).select(pl.len()).collect().item(), size)
    if not shards:
        raise InvalidInputError("every user already has every target: nobody can be guided")
    missing = output.missing(shards)
    columns = [pl.col(name) for name in Pairs._fields]
    parts = ((shard, rows_of(table, shard, *columns)) for shard in missing)
    n_done = len(shards) - len(missing)
    output.keep(run(wanted, parts), n_done, len(shards), progress)
    return output.finish(_summary(output.files(OUTCOMES, shards)))


def _about(
    wanted: Simulation, experiment: Experiment, user_idx: IntArray, size: int
) -> dict[str, Any]:
    """All that decides what is in the files."""
    models = [path for path in wanted.files if path.name != MANIFEST]
    return {
        "settings": digest(experiment.options.model_dump(mode="json")),
        "dataset": experiment.dataset.fingerprint,
        "models": digest({f"{path.parent.name}/{path.name}": file_hash(path) for path in models}),
        "users": digest({"": user_idx.tolist()}),
        "targets": list(wanted.options.target_items),
        "shard_size": size,
        "versions": dict(wanted.made_by),
    }


def _listed(users: Path, dataset: Dataset) -> IntArray:
    """Rows of the users of a table, in its order."""
    scan = pl.scan_parquet(parquet_files(users), glob=False)
    if "user_id" not in scan.collect_schema():
        raise DataError(f"{users} must have the column user_id")
    user_ids = scan.select(pl.col("user_id").cast(pl.String)).collect()["user_id"]
    is_bad = user_ids.is_null() | user_ids.is_duplicated()
    if is_bad.any() or not len(user_ids):
        raise DataError(
            f"user_id must be there once in every row of {users}; {is_bad.sum()} of "
            f"{len(user_ids)} rows break this"
        )
    index = {user_id: row for row, user_id in enumerate(dataset.user_ids)}
    if unknown := [one for one in user_ids if one not in index]:
        raise UnknownIdError(
            f"{len(unknown)} of {len(user_ids)} users are not in {dataset.name}, first "
            f"{unknown[0]!r}"
        )
    return np.array([index[one] for one in user_ids], np.int64)


def _journeys(experiment: Experiment, user_idx: IntArray, folder: Path) -> list[Path]:
    """Files of who is guided to what, one a target, less owners where they are left out."""
    world, files = experiment.world, []
    for number, target in enumerate(experiment.targets.item_idx):
        path = folder / f"{number:06}.parquet"
        files.append(path)
        if path.exists():
            continue
        pairs = Pairs.of(user_idx, np.array([target]))
        table = pl.DataFrame(pairs._asdict()).cast(pl.Int32)
        if world.options.owners == "drop":
            table = table.filter(~pl.Series(world.is_owner(*pairs).numpy()))
        with replacing(path) as partial:
            table.write_parquet(partial, row_group_size=ROW_GROUP)
    return files


def _summary(files: list[Path]) -> dict[str, Any]:
    """What came of all journeys; sums go by the order of files."""
    rails, gain, counted = Counter[str](), 0.0, 0
    for path in files:
        rails.update(json.loads(pl.read_parquet_metadata(path)[RAILS]))
        table = pl.read_parquet(path, columns=["interest_before", "interest_after", "is_counted"])
        before, after = (table[name].to_numpy().astype(np.float64) for name in table.columns[:2])
        gain += float(((after - before) * table["is_counted"].to_numpy()).sum())
        counted += table.height
    totals = pl.scan_parquet(files, glob=False).select(
        journeys=pl.len(),
        shown=pl.col("shown").sum(),
        guided=pl.col("guided").sum(),
        accepted=pl.col("accepted").sum(),
        targets_accepted=pl.col("target_round").count(),
        left=pl.col("left_after").count(),
    )
    return {
        "files": len(files),
        **totals.collect(engine="streaming").row(0, named=True),
        "interest_gain": gain / counted,
        "rails": dict(sorted(rails.items())),
    }
