"""`proactrec doctor`: is everything here that a run or a service needs?"""

import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from proactrec.cli import console, options, results
from proactrec.cli.finding import Finding
from proactrec.data.sources import SOURCES, Source
from proactrec.threads import n_threads

CORE = ("torch", "numpy", "polars", "faiss-cpu", "pydantic", "safetensors")
EXTRAS = {
    "report": ("matplotlib", "jinja2"),
    "fast": ("numba", "openvino"),
    "llm": ("aiohttp",),
    "tune": ("optuna",),
    "gym": ("gymnasium",),
    "sentence": ("sentence_transformers",),
    "serve": ("fastapi", "sqlalchemy", "prometheus_client"),
    "console": ("nicegui",),
    "telemetry": ("opentelemetry",),
    "ray": ("ray",),
}
LEAST_GB = 1.0


def doctor(
    data_dir: options.DataDir = None,
    guide: Annotated[
        Path | None, typer.Option(help="Folder of the guide of a service, to be opened.")
    ] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="PROACTREC_DATABASE_URL",
            help="Of a service: its database is looked at too. By default that beside --guide.",
        ),
    ] = None,
    api: Annotated[
        str | None, typer.Option(help="Of a running service, e.g. http://127.0.0.1:8080.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Look whether everything is here that a run needs, and whether a service is well.

    Ends with code 1 if something is wrong, and says of each such thing what to do.

    Example: proactrec doctor --guide guides/shop --api http://127.0.0.1:8080
    """
    found = [*_installation(), *_data(data_dir)]
    if guide is not None or database_url is not None or api is not None:
        from proactrec.cli.doctor_service import service_findings

        found += service_findings(guide, database_url, api)
    if json:
        results.print_json({"findings": [{**one._asdict(), "ok": one.is_right} for one in found]})
    else:
        _show(found)
    if not all(one.is_right for one in found):
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    table = Table("what", "found", show_header=False, box=None, pad_edge=False)
    for one in findings:
        table.add_row(one.what, one.found if one.is_right else f"WRONG: {one.found}: {one.todo}")
    console.Terminal().print(table)


def _installation() -> Iterator[Finding]:
    yield Finding("python", platform.python_version())
    for package in ("proactrec", *CORE):
        found = _version(package)
        yield Finding(package, found or "missing", "" if found else f"pip install {package}")
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        told = f"missing: pip install 'proactrec[{extra}]'" if missing else "installed"
        yield Finding(f"extra {extra}", told)
    yield Finding("processors", _processors())
    yield free_disk("free disk", Path.cwd())


def free_disk(what: str, folder: Path) -> Finding:
    """Whether some room is left where a folder is."""
    free = shutil.disk_usage(folder).free / 1e9
    is_enough = free >= LEAST_GB
    todo = "" if is_enough else f"make room: {LEAST_GB:g} GB at least"
    return Finding(what, f"{free:.1f} GB at {folder}", todo)


def _data(data_dir: Path | None) -> Iterator[Finding]:
    for name, source in SOURCES.items():
        yield Finding(f"data set {name}", _files(data_dir, name, source))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processors() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    cores = f"{os.cpu_count()} cores, {n_threads()} threads may work (PROACTREC_THREADS)"
    return ", ".join([cores, *(gpus or ["no GPU (--device cpu)"])])


def _files(data_dir: Path | None, name: str, source: Source) -> str:
    if data_dir is None:
        return "not looked for: give --data-dir or PROACTREC_DATA"
    folder = data_dir / (source.folder or name)
    missing = source.missing(folder)
    return f"missing in {folder}: {', '.join(missing)}" if missing else f"complete in {folder}"
