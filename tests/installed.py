"""What the package must do wherever it is installed: a job outside the repository, as users do."""

import os
import subprocess
from pathlib import Path

SMALL = (
    *("--dataset", "demo", "--n-users", "20", "--n-targets", "2", "--n-rounds", "3"),
    *("--set", "graphau.stopping.n_epochs=1", "--set", "graphau.stopping.min_epochs=1"),
    *("--set", "graphau.embedding_dim=8", "--set", "encoder_options.embedding_dim=8"),
    *("--set", "encoder_options.stopping.n_epochs=1", "--set", "protocol.intents.n_intents=4"),
)
"""A run of some seconds."""
STORE = "from proactrec.store.database import Database; Database('store.db').migrate()"
EVERYTHING = """
import importlib, pkgutil, proactrec
for module in pkgutil.walk_packages(proactrec.__path__, "proactrec."):
    if module.name != "proactrec.__main__":
        importlib.import_module(module.name)
"""


def ran(folder: Path, *command: str | Path) -> str:
    """What a command prints, in a folder and with nothing of the repository in its environment."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PROACTREC"))
    }
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def works(scripts: Path, folder: Path, *, has_extras: bool = True) -> None:
    """Check an installation by its folder of scripts; `folder` is empty and outside everything."""
    command, python = scripts / "proactrec", scripts / "python"
    assert "Guide users toward target items" in ran(folder, command, "--help")
    where = ran(folder, python, "-c", "import proactrec; print(proactrec.__file__)")
    assert Path(where.strip()).is_relative_to(scripts.parent), where
    ran(folder, command, "run" if has_extras else "simulate", *SMALL, "--out", "run")
    assert (folder / "run" / "items.parquet").is_file()
    if has_extras:
        assert "</html>" in (folder / "run" / "report.html").read_text()
        ran(folder, python, "-c", STORE)
        assert (folder / "store.db").is_file()
