"""Installs a wheel on every Python that is here, with the lowest versions allowed and the newest.

Usage: python tests/package_matrix.py WHEEL [--uv uv] [--python PATH]... [-- OPTIONS OF uv]

Every environment does what `installed.py` says, and imports every module; it is deleted afterwards.
It takes minutes and gigabytes: see `make package-matrix`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from installed import EVERYTHING, ran, works

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
MINORS = (11, 12, 13)
CASES = (("all", "lowest-direct"), ("all", "highest"), ("", "lowest-direct"), ("", "highest"))
"""Extra, and uv's word for which versions are taken."""


def interpreters() -> Iterator[str]:
    """Pythons of the supported versions: the first that runs, on the PATH or of pyenv."""
    for minor in MINORS:
        own = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
        for path in [shutil.which(f"python3.{minor}"), *map(str, own)]:
            if path and not subprocess.run([path, "-c", ""], capture_output=True).returncode:
                yield path
                break
        else:
            print(f"python 3.{minor}: none here", flush=True)


def tried(uv: str, python: str, wheel: Path, extra: str, versions: str, options: list[str]) -> None:
    """Install into an empty environment, and use it.

    Raises
    ------
    AssertionError
        With what the command that failed has printed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, fresh = Path(name) / "outside", Path(name) / "fresh"
        folder.mkdir()
        ran(folder, uv, "venv", "--quiet", "--python", python, fresh)
        into = ("--python", fresh / "bin" / "python")
        # From the file: to uv, what a wheel needs is not asked by us, and it would take the newest.
        asked = ("-r", PROJECT, *(("--extra", extra) if extra else ()))
        how = ("--no-build", "--resolution", versions)  # the lowest with a wheel for this Python
        ran(folder, uv, "pip", "install", *into, *how, *asked, *options)
        ran(folder, uv, "pip", "install", *into, "--no-deps", wheel)
        print(ran(folder, uv, "pip", "freeze", *into), flush=True)
        works(fresh / "bin", folder, has_extras=bool(extra))
        if extra:
            ran(folder, fresh / "bin" / "python", "-c", EVERYTHING)


def main() -> None:
    """Try everything, and end with code 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--uv", default="uv")
    parser.add_argument("--python", action="append")
    parser.add_argument("options", nargs="*", help="of uv pip install")
    asked, failed = parser.parse_args(), 0
    uv, wheel = str(Path(shutil.which(asked.uv) or asked.uv).absolute()), asked.wheel.absolute()
    for python in asked.python or interpreters():
        for extra, versions in CASES:
            what = f"{python}, {extra or 'no extra'}, {versions}"
            try:
                tried(uv, python, wheel, extra, versions, asked.options)
                print(f"{what}: works", flush=True)
            except AssertionError as error:
                failed += 1
                print(f"{what}: FAILED\n{error}", flush=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
