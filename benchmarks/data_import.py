"""How long an import of many generated interactions takes, how much memory, and pandas beside it.

Usage: python benchmarks/data_import.py [--rows 20000000] [--page PAGE.md] [--pandas PYTHON]
The log is generated into a temporary folder as Parquet and as CSV: ids as text, ISO times, kinds of
events, a long tail of items. Every measurement is one child process: seconds by the clock, seconds
of processor, and the most memory it held. pandas runs in the Python of --pandas (an environment of
its own, `pip install pandas pyarrow`); without it these rows are skipped. It does the same: drop
rows without id, read times, sort, sessions, first event of every user and item, write Parquet.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shared.child import taken
from shared.page import origin, write_page

BLOCK = 2_000_000
SECONDS_LIMIT, GIB_LIMIT = 60, 6
OURS = """
import sys
from pathlib import Path
from proactrec.data.importing.importer import Import
from proactrec.data.importing.options import ImportOptions
from proactrec.report.data_page import render
with Import(ImportOptions(events=(sys.argv[1],)), Path(sys.argv[2])) as job:
    result = job.run(render=render)
print(result["steps"][-1][1])
"""
DOOR = """
import sys
from proactrec.data.load import load_dataset
print(load_dataset(sys.argv[1]).n_interactions)
"""
PANDAS = """
import sys
import pandas as pd
path, out = sys.argv[1:]
names = ["visitor", "product", "at"]
if path.endswith("csv"):
    rows = pd.read_csv(path, usecols=names, dtype={"visitor": "str", "product": "str"})
else:
    rows = pd.read_parquet(path, columns=names)
rows["at"] = pd.to_datetime(rows["at"], utc=True, format="ISO8601")
rows = rows.dropna()
rows = rows.sort_values(["visitor", "at"], kind="stable")
same = rows["visitor"].eq(rows["visitor"].shift())
pause = rows["at"].diff() > pd.Timedelta(minutes=30)
rows["session"] = (~same | pause).groupby(rows["visitor"]).cumsum()
counts = rows.groupby(["visitor", "product"], sort=False).size().rename("n_events")
first = rows.drop_duplicates(["visitor", "product"]).join(counts, on=["visitor", "product"])
first.to_parquet(out)
print(len(first))
"""


def main() -> None:
    """Generate, measure, and write the page if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--pandas", help="Python of an environment with pandas and pyarrow")
    arguments = parser.parse_args()
    pandas, reason = usable_pandas(arguments.pandas)
    load_before = os.getloadavg()[0]
    cells: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in generate(folder, arguments.rows):
            kind = path.suffix[1:]
            print(f"{path.name}: {path.stat().st_size / 1e6:,.0f} MB", flush=True)
            out = folder / f"out-{kind}"
            report(cells, f"import, {kind}", [sys.executable, "-c", OURS, str(path), str(out)])
            if pandas:
                target = str(folder / f"pandas-{kind}.parquet")
                report(cells, f"pandas, {kind}", [pandas, "-c", PANDAS, str(path), target])
        opened = [sys.executable, "-c", DOOR, str(folder / "out-parquet")]
        report(cells, "open the import (k-core), all in memory", opened)
    body = table(cells, arguments.rows, load_before, reason)
    print(body)
    if arguments.page:
        content = {"origin": origin(), "rows": arguments.rows, "load_before": load_before}
        title = f"Import of {arguments.rows:,} generated interactions"
        write_page(arguments.page, title, {**content, "cells": cells, "pandas": reason}, body)


def generate(folder: Path, n_rows: int) -> list[Path]:
    """The same log as Parquet and CSV, made block by block."""
    n_users, n_items = max(100, n_rows // 100), max(100, n_rows // 400)
    paths = [folder / "events.parquet", folder / "events.csv"]
    parts = folder / "parts"
    parts.mkdir()
    start = 1_600_000_000
    for number, first in enumerate(range(0, n_rows, BLOCK)):
        n = min(BLOCK, n_rows - first)
        block = _block(np.random.default_rng(number), n, n_users, n_items, start + first // 2)
        block.write_parquet(parts / f"{number:04}.parquet")
        with paths[1].open("ab") as file:
            block.write_csv(file, include_header=number == 0)
    pl.scan_parquet(parts / "*.parquet").sink_parquet(paths[0])
    for part in parts.iterdir():
        part.unlink()
    return paths


def _block(
    rng: np.random.Generator, n: int, n_users: int, n_items: int, start: int
) -> pl.DataFrame:
    user = rng.integers(0, n_users, n)
    item = (rng.pareto(1.1, n) * n_items / 300).astype(np.int64) % n_items
    moment = start + np.sort(rng.integers(0, n // 2 + 1, n))
    kind = rng.choice(["view", "cart", "purchase"], n, p=[0.8, 0.15, 0.05])
    return pl.DataFrame({"visitor": user, "product": item, "at": moment, "kind": kind}).select(
        visitor=pl.format("u{}", pl.col("visitor").cast(pl.String).str.zfill(8)),
        product=pl.format("sku-{}", pl.col("product")),
        at=pl.from_epoch("at").dt.to_string("%Y-%m-%dT%H:%M:%SZ"),
        kind="kind",
    )


def report(cells: dict[str, dict[str, Any]], name: str, command: list[str]) -> None:
    """Measure a command and print what came of it."""
    cells[name] = measured(command)
    print(name, cells[name], flush=True)


def measured(command: list[str]) -> dict[str, Any]:
    """Seconds, processor seconds and memory of a child process, and the rows that it gave."""
    found = taken(command)
    if found.code:
        return {"error": f"exit code {found.code}"}
    return {
        "seconds": round(found.seconds, 1),
        "cpu_seconds": round(found.cpu_seconds, 1),
        "gib": round(found.gib, 2),
        "rows_written": int(found.out),
    }


def usable_pandas(python: str | None) -> tuple[str | None, str]:
    """The Python that has pandas, or why there is none."""
    if python is None:
        return None, "pandas was not measured: no --pandas PYTHON was given"
    code = "import pandas, pyarrow; print(pandas.__version__, pyarrow.__version__)"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    if done.returncode:
        return None, f"pandas was not measured: {python} has no pandas and pyarrow"
    version, arrow = done.stdout.split()
    return python, f"pandas {version} with pyarrow {arrow}, in an environment of its own"


def table(cells: dict[str, dict[str, Any]], n_rows: int, load_before: float, pandas: str) -> str:
    """Markdown: a row a measurement."""
    lines = [
        "| what | seconds | processor seconds | most memory, GiB | interactions written |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, cell in cells.items():
        if "error" in cell:
            lines.append(f"| {name} | failed: {cell['error']} | | | |")
            continue
        numbers = f"{cell['seconds']} | {cell['cpu_seconds']} | {cell['gib']}"
        lines.append(f"| {name} | {numbers} | {cell['rows_written']:,} |")
    lines += [
        "",
        f"One run each, {n_rows:,} rows in. Load of the machine before it began: {load_before:.1f} "
        f"on {os.cpu_count()} cores. {pandas[0].upper()}{pandas[1:]}. The aim for 20 million rows "
        f"is {SECONDS_LIMIT} s and {GIB_LIMIT} GiB on 2 cores.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
