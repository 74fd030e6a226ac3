"""Where finished work is kept: folders named by the hash of what they were made from."""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, NamedTuple

from proactrec.config import digest
from proactrec.errors import ArtefactError, InvalidInputError
from proactrec.files import write_text
from proactrec.parallel import ranks
from proactrec.progress import Progress, silent

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint.safetensors"
POLL_S, TELL_EVERY_S = 0.05, 3.0


class Artefact(NamedTuple):
    """A finished stage."""

    folder: Path
    key: str
    seconds: float
    is_reused: bool


class ArtefactStore:
    """Makes every artefact once.

    An artefact is written into a hidden folder and renamed when it is complete, so a killed run
    leaves nothing that looks finished; only a checkpoint in there is used again. The manifest
    holds the hash of every file, checked on reuse. A lock lets several processes share a store.

    Parameters
    ----------
    root : Path
        Created on first use.
    progress : Progress, optional
        Told while another process makes what is asked for.

    Attributes
    ----------
    asked : set of Path
        Folders of the artefacts that were asked for so far.

    Raises
    ------
    InvalidInputError
        If `root` is a file.
    """

    def __init__(self, root: Path, progress: Progress = silent) -> None:
        if root.exists() and not root.is_dir():
            raise InvalidInputError(f"a store must be a folder, {root} is a file")
        self.root, self._progress = root, progress
        self.asked: set[Path] = set()

    def get_or_make(
        self, kind: str, inputs: Mapping[str, Any], make: Callable[[Path], None]
    ) -> Artefact:
        """The artefact of a kind made from `inputs`; `make` fills a folder if there is none yet.

        Of processes that train together all work on it, and the first keeps what it made.

        Raises
        ------
        ArtefactError
            If a file of a finished artefact is missing or changed.
        """
        key = f"{kind}-{digest(inputs)}"
        final, partial = self.root / key, self.root / f".{key}"
        self.root.mkdir(parents=True, exist_ok=True)
        self.asked.add(final)
        together = ranks()
        lock = _locked(self.root / f".{key}.lock", lambda by: self._waits(key, by))
        with lock if together.rank == 0 else nullcontext():
            if together.first(final.exists()):
                manifest = _check(final)
                return Artefact(final, key, manifest["seconds"], is_reused=True)
            if together.rank > 0:
                _make_aside(make, partial)
                together.first(0)  # who waits for the first rank's files
                return Artefact(final, key, _check(final)["seconds"], is_reused=False)
            partial.mkdir(exist_ok=True)
            for left in partial.iterdir():  # by a killed run; only a checkpoint is worth keeping
                if left.name != CHECKPOINT:
                    left.unlink()
            start = time.perf_counter()
            make(partial)
            seconds = round(time.perf_counter() - start, 3)
            (partial / CHECKPOINT).unlink(missing_ok=True)
            hashes = {path.name: file_hash(path) for path in sorted(partial.iterdir())}
            manifest = {"kind": kind, "inputs": inputs, "seconds": seconds, "files": hashes}
            write_text(partial / MANIFEST, json.dumps(manifest, indent=2, default=str))
            os.replace(partial, final)
            together.first(0)
            return Artefact(final, key, seconds, is_reused=False)

    def _waits(self, key: str, by: str) -> None:
        self._progress("waiting", 0, 1, f"for {key}, made by {by or 'another process'}")


def _make_aside(make: Callable[[Path], None], partial: Path) -> None:
    """Help to make what another process keeps, from the same checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        if (partial / CHECKPOINT).exists():
            shutil.copy(partial / CHECKPOINT, folder)
        make(Path(folder))


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        damaged = [
            name for name, was in manifest["files"].items() if file_hash(folder / name) != was
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"artefact {folder} is damaged ({error}); delete it to make it anew"
        ) from error
    if damaged:
        raise ArtefactError(
            f"artefact {folder} is damaged ({damaged} changed); delete it to make it anew"
        )
    return manifest


@contextmanager
def _locked(path: Path, told: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock; whoever waits for it is told now and then, with what its holder said of it."""
    with path.open("a+", encoding="utf-8") as file:
        last = time.monotonic()
        while not _took(file):
            time.sleep(POLL_S)
            if time.monotonic() - last > TELL_EVERY_S:
                last = time.monotonic()
                file.seek(0)
                told(file.read())
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def _took(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
