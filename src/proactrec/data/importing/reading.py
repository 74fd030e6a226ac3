"""Events and items of somebody's files as an import would write them, without keeping them."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import polars as pl

from proactrec.data import imported
from proactrec.data.catalogue import Catalogue
from proactrec.data.importing.importer import Import
from proactrec.data.importing.options import ImportOptions
from proactrec.progress import Progress, silent


class Read(NamedTuple):
    """What was read, which columns were guessed, and sentences about what could not be used."""

    events: pl.DataFrame  # user_id, item_id, timestamp
    catalogue: Catalogue
    guesses: list[str]
    problems: list[str]


def read_logs(options: ImportOptions, *, progress: Progress = silent) -> Read:
    """Read files with the rules of an import: columns that are not named are guessed.

    Raises
    ------
    DataError
        If a file cannot be used, too many rows are bad, or none is left.
    """
    with tempfile.TemporaryDirectory(prefix="proactrec-") as folder:
        out = Path(folder) / "read"
        with Import(options, out) as job:
            result = job.run(progress=progress)
        events, catalogue = imported.load(out)
    guessed = [f"{g['meaning']} = {g['column'] or 'none'} ({g['why']})" for g in result["guesses"]]
    problems = [*result["problems"], *result["item_problems"], *result["notes"]]
    return Read(events.table, catalogue, guessed, problems)
