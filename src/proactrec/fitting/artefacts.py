"""Where finished work is kept: folders named by the hash of what they were made from."""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from proactrec.config import digest
from proactrec.errors import ArtefactError

MANIFEST = "manifest.json"
CHECKPOINT = "checkpoint.safetensors"


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
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def get_or_make(
        self, kind: str, inputs: Mapping[str, Any], make: Callable[[Path], None]
    ) -> Artefact:
        """The artefact of a kind made from `inputs`; `make` fills a folder if there is none yet.

        Raises
        ------
        ArtefactError
            If a file of a finished artefact is missing or changed.
        """
        key = f"{kind}-{digest(inputs)}"
        final, partial = self.root / key, self.root / f".{key}"
        self.root.mkdir(parents=True, exist_ok=True)
        with _locked(self.root / f".{key}.lock"):
            if final.exists():
                manifest = _check(final)
                return Artefact(final, key, manifest["seconds"], is_reused=True)
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
            _write_durably(partial / MANIFEST, json.dumps(manifest, indent=2, default=str))
            os.replace(partial, final)
            return Artefact(final, key, seconds, is_reused=False)


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file atomically."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        _write_durably(partial, json.dumps(content, indent=2, allow_nan=False) + "\n")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """What :func:`write_json` wrote."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _check(folder: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
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


def _write_durably(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
