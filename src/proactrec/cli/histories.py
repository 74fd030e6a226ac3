"""`proactrec data histories`: one row a user, which `proactrec plan` reads."""

from pathlib import Path
from typing import Annotated

import typer

from proactrec.cli import console


def histories(
    events: Annotated[
        Path,
        typer.Argument(
            help="Parquet file, folder of such, or folder of `proactrec data import`: user_id, "
            "item_id, timestamp."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    journeys: Annotated[
        Path | None,
        typer.Option(
            help="What was shown before: Parquet with user_id, target_id, round, item_id, guided, "
            "answer (1, 0, or empty: not known yet)."
        ),
    ] = None,
    at_once: Annotated[
        int, typer.Option(min=1, help="Events that are held in memory at a time, about.")
    ] = 10_000_000,
) -> None:
    """Gather what every user had, one row each, for `proactrec plan`.

    The events are read as often as memory asks for; no index, no database.

    Example: proactrec data histories data/shop --out histories --journeys shown.parquet
    """
    from proactrec.distributed.histories import gather

    with console.progress() as progress:
        n_users = gather(events, out, journeys, at_once=at_once, progress=progress)
    console.note(f"{n_users:,} users: {out}")
