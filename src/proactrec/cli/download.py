"""`proactrec data download`: a published data set, from its publisher or a mirror."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from proactrec.cli import console
from proactrec.data.download import accept, is_accepted, source_of
from proactrec.data.download import download as fetch_set
from proactrec.data.load import DATA_DIR_VARIABLE
from proactrec.data.sources import SOURCES
from proactrec.names import spelled


def download(
    name: Annotated[str, typer.Argument(help="Data set, as in `proactrec data list`.")],
    data_dir: Annotated[
        Path,
        typer.Option(
            "--data-dir", envvar=DATA_DIR_VARIABLE, help="Where the set's folder will stand."
        ),
    ] = Path("data"),
    mirror: Annotated[
        str | None,
        typer.Option(
            envvar="PROACTREC_MIRROR",
            help="Address of a folder with the same files, instead of the publisher's.",
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(help="Part of a set that comes in parts, e.g. All_Beauty of amazon-2023."),
    ] = None,
    accept_licence: Annotated[
        bool,
        typer.Option("--accept-licence", help="Accept the licence; once for a data folder."),
    ] = False,
) -> None:
    """Fetch a published data set, check it, and put its files where they are looked for.

    A broken transfer goes on where it stopped. Proxies are those of HTTPS_PROXY and HTTP_PROXY.

    Example: proactrec data download ml-100k --data-dir data --accept-licence
    """
    name = spelled(name, SOURCES)
    source = source_of(name)
    if not is_accepted(name, data_dir):
        console.errors.print(
            f"{name}: {source.licence}\n{source.home}", highlight=False, soft_wrap=True
        )
        if accept_licence or (sys.stdin.isatty() and typer.confirm("Accept?", err=True)):
            accept(name, data_dir)
    with console.progress() as progress:
        folder, fresh = fetch_set(name, data_dir, mirror=mirror, part=part, progress=progress)
    found = ", ".join(fresh) if fresh else "nothing new, all files were there"
    console.Terminal().print(f"{folder}: {found}", highlight=False, soft_wrap=True)
