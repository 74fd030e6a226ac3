"""The command `proactrec`: its commands, and how errors end."""

import os
import sys
import warnings
from typing import Any

import polars as pl
import typer
from safetensors import SafetensorError
from typer.exceptions import TyperException

# Threads that wait must not spin: beside any other busy process that costs minutes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from proactrec.cli import (
    benchmark,
    data,
    doctor,
    explain,
    forecast,
    llm,
    results,
    run,
    targets,
    tune,
    uplift,
    worlds,
)
from proactrec.errors import ProactrecError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Guide users toward target items over several rounds, and measure it honestly.\n\n"
    "Start with: proactrec run --dataset demo --out runs/demo",
)
app.add_typer(data.app, name="data")
app.add_typer(llm.app, name="llm")
app.add_typer(targets.app, name="targets")
for command in (run.run, run.train, run.simulate, results.evaluate, results.report):
    app.command()(command)
app.command()(explain.explain)
app.command()(tune.tune)
app.command()(benchmark.benchmark)
app.command()(benchmark.compare)
app.command()(worlds.worlds)
app.command()(forecast.forecast)
app.command()(uplift.uplift)
app.command()(doctor.doctor)

STOPPED = 130
OWN_ERRORS = (ProactrecError, OSError, pl.exceptions.PolarsError, SafetensorError, MemoryError)


def main() -> None:
    """Run the command line: what a user can cause ends in one sentence and exit code 2."""
    warnings.showwarning = _show_warning
    try:
        code = app(standalone_mode=False)
    except TyperException as error:
        code = _fail(error.format_message())
    except OWN_ERRORS as error:
        code = _fail(str(error) or type(error).__name__)
    if code == STOPPED:
        print("stopped; the same command goes on from here", file=sys.stderr)
    sys.exit(code or 0)


def _fail(sentence: str) -> int:
    if sentence:  # empty where a group without a command has shown its help
        print("error: " + " ".join(sentence.split()), file=sys.stderr)
    return 2


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)
