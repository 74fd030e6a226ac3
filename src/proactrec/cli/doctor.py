"""`proactrec doctor`: is everything here that a run needs?"""

import importlib.util
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from proactrec.cli import options
from proactrec.data.sources import SOURCES, Source

CORE = ("torch", "numpy", "polars", "faiss-cpu", "pydantic", "safetensors")
EXTRAS = {"report": ("matplotlib", "jinja2"), "gym": ("gymnasium",)}


def doctor(data_dir: options.DataDir = None) -> None:
    """Show versions, processors, extras, free disk space and which data sets are at hand.

    Example: proactrec doctor --data-dir data
    """
    table = Table("what", "found", show_header=False, box=None, pad_edge=False)
    table.add_row("python", platform.python_version())
    for package in ("proactrec", *CORE):
        table.add_row(package, _version(package))
    for extra, modules in EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        table.add_row(
            f"extra {extra}",
            f"missing: pip install 'proactrec[{extra}]'" if missing else "installed",
        )
    table.add_row("processors", _processors())
    table.add_row("free disk", f"{shutil.disk_usage(Path.cwd()).free / 1e9:.1f} GB here")
    for name, source in SOURCES.items():
        table.add_row(f"data set {name}", _files(data_dir, name, source))
    Console().print(table)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _processors() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    return ", ".join([cores, *(gpus or ["no GPU (--device cpu)"])])


def _files(data_dir: Path | None, name: str, source: Source) -> str:
    if data_dir is None:
        return "not looked for: give --data-dir or PROACTREC_DATA"
    folder = data_dir / (source.folder or name)
    missing = source.missing(folder)
    return f"missing in {folder}: {', '.join(missing)}" if missing else f"complete in {folder}"
