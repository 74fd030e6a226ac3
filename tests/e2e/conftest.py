"""A toy world in files, and two ways to run the real command on it."""

import io
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import pytest

from proactrec.cli.main import main

from .apart import Apart

N_USERS, N_ITEMS, N_EACH = 30, 40, 12
CATEGORIES = ("Drama", "Comedy", "War")
SETTINGS = (
    "encoder_options.stopping.n_epochs=2",
    "encoder_options.embedding_dim=8",
    "graphau.stopping.n_epochs=2",
    "graphau.stopping.min_epochs=1",
    "graphau.embedding_dim=8",
    "protocol.intents.n_intents=4",
)
SHORT = ["--filter", "none", "--n-rounds", "5", *(f"--set={setting}" for setting in SETTINGS)]
FAST = ["--n-targets", "3", *SHORT]


class Outcome(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def errors(self) -> list[str]:
        """Lines on standard error that start as an error does."""
        return [line for line in self.stderr.splitlines() if line.startswith("error: ")]


class Toy(NamedTuple):
    """The files of the toy world."""

    events: Path
    items: Path

    @property
    def files(self) -> list[str]:
        """The arguments that name them."""
        return ["--dataset", "csv", "--events", str(self.events), "--items", str(self.items)]

    @property
    def run(self) -> list[str]:
        """The arguments of a run of some seconds, but for its folder."""
        return ["run", *self.files, "--category", "Drama", *FAST]

    def to(self, *items: str) -> list[str]:
        """Arguments of such a run to these items, instead of chosen ones."""
        named = [text for item in items for text in ("--target", item)]
        return ["run", *self.files, *SHORT, *named]


Command = Callable[..., Outcome]


@pytest.fixture(scope="session")
def toy(made_once: Callable[..., Path]) -> Toy:
    """30 users with 12 of 40 items each; every item has one of three categories."""
    folder = made_once("toy", write_toy)
    return Toy(folder / "events.csv", folder / "items.csv")


def write_toy(folder: Path) -> None:
    rng, rows = random.Random(7), []
    for user in range(N_USERS):
        rows += [f"u{user},i{item},{{}}" for item in rng.sample(range(N_ITEMS), N_EACH)]
    events = [row.format(1_000 + time) for time, row in enumerate(rows)]
    items = [f"i{n},Film {n},{CATEGORIES[n % len(CATEGORIES)]}" for n in range(N_ITEMS)]
    header = "user_id,item_id,timestamp"
    (folder / "events.csv").write_text("\n".join([header, *events, ""]))
    (folder / "items.csv").write_text("\n".join(["item_id,title,categories", *items, ""]))


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have set the variable."""
    monkeypatch.delenv("PROACTREC_DATA", raising=False)


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process: the real program less the seconds in which torch loads."""

    def run(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["proactrec", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def here_first() -> Command:
    """The same for fixtures that are made once, before any test."""

    def run(*arguments: str | Path) -> Outcome:
        out, told = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(told):
            patch.setattr(sys, "argv", ["proactrec", *map(str, arguments)])
            patch.delenv("PROACTREC_DATA", raising=False)
            with pytest.raises(SystemExit) as ended:
                main()
        assert isinstance(ended.value.code, int)
        return Outcome(ended.value.code, out.getvalue(), told.getvalue())

    return run


@pytest.fixture(scope="session")
def start() -> Callable[..., "subprocess.Popen[str]"]:
    """Start the installed command as a process of its own, with one thread."""

    def started(*arguments: str | Path, **options: object) -> "subprocess.Popen[str]":
        command = [str(Path(sys.executable).parent / "proactrec"), *map(str, arguments)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("PROACTREC_DATA", None)
        pipe = subprocess.PIPE
        return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
            command, stdout=pipe, stderr=pipe, text=True, **{"env": environment, **options}
        )

    return started


@pytest.fixture
def apart(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Apart]:
    """Start a command as a process that is forked with torch loaded: killing it is the point."""

    def started(*arguments: str | Path) -> Apart:
        return Apart([*map(str, arguments)], tmp_path_factory.mktemp("apart") / "told")

    return started


@pytest.fixture(scope="session")
def cli(start: Callable[..., "subprocess.Popen[str]"]) -> Command:
    """Run the installed command as a process of its own, with one thread."""

    def run(*arguments: str | Path, timeout: float = 120, **options: object) -> Outcome:
        with start(*arguments, **options) as process:
            try:
                stdout, stderr = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Outcome(process.returncode, stdout, stderr)

    return run


@pytest.fixture(scope="session")
def finished(cli: Command, toy: Toy, made_once: Callable[..., Path]) -> Path:
    """Folder of a finished run on the toy world; what it printed lies there as `stdout`.

    Other processes read it at the same time: write into `copied`.
    """

    def run(out: Path) -> None:
        outcome = cli(*toy.run, "--out", out, "--json")
        assert outcome.code == 0, outcome.stderr
        (out / "stdout").write_text(outcome.stdout)

    return made_once("finished", run)


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """The stages of the finished run in another run folder, without its results."""
    out = tmp_path / "copied"
    shutil.copytree(finished / "artefacts", out / "artefacts")
    return out
