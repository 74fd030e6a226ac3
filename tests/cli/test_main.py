"""The list of commands: what it says, and that it loads nothing heavy."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from proactrec.cli.main import COMMANDS, command

HEAVY = {"torch", "polars", "numpy", "pydantic", "faiss"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says_of_itself(name: str) -> None:
    assert command(name).help.partition("\n")[0] == COMMANDS[name][1]


@pytest.mark.parametrize(
    "code",
    [
        "import proactrec",
        "from proactrec.cli.main import app; app(['--help'], standalone_mode=False)",
        "from proactrec.cli.main import main; sys.argv = ['proactrec', '--help']\n"
        "try: main()\nexcept SystemExit: pass",
    ],
    ids=["package", "app", "main"],
)
def test_help_and_package_load_nothing_heavy(code: str) -> None:
    told = f"import sys; {code}\nprint('loaded:', *{HEAVY!r} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", told], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.splitlines()[-1] == "loaded:"


def test_who_calls_the_service_needs_no_torch() -> None:
    """By the client in a shop's backend, or by the console: both stand beside others."""
    code = "import proactrec.serving.client, proactrec.console.app, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "faiss"} & set(done.stdout.split())


def test_the_version_is_told() -> None:
    code = "from proactrec.cli.main import main; import sys; sys.argv[1:] = ['--version']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"proactrec {version('proactrec')}\n"


def test_an_error_before_anything_heavy_is_still_one_sentence() -> None:
    code = "from proactrec.cli.main import main; import sys; sys.argv[1:] = ['evaluate', 'nowhere']"
    done = subprocess.run([sys.executable, "-c", f"{code}; main()"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
