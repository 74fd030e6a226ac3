"""Work in parts by a Ray cluster: its files are put once a node, parts go where room is."""

import logging
import os
import socket
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proactrec.distributed.running import Do, Done, Part, Work
from proactrec.errors import InvalidInputError, LostWorkersError, MissingExtraError

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
except ImportError as error:
    raise MissingExtraError("--ray needs ray: pip install 'proactrec[ray]'") from error

QUEUED = 2
"""Parts that are sent for every core of the cluster, that at work included."""
MOST_RETRIES = 10
"""Times that a part is done again whose worker or node was lost."""
ANSWERS_S = 10.0
"""Seconds within which a cluster takes a connection; Ray itself tries for minutes."""
Files = dict[str, NDArray[np.uint8]]


class OnRay:
    """A Ray cluster, as many parts at a time as it has cores.

    Whoever is connected to a cluster already goes on with that one.

    Parameters
    ----------
    address : str
        Of the cluster; `auto` for the one that this machine is of, `local` for a Ray of its own on
        this machine, which ends with the work.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def __call__(self, work: Work, parts: Iterable[Part]) -> Iterator[Done]:
        """What is made of every part, as it comes.

        Raises
        ------
        InvalidInputError
            If no cluster answers.
        LostWorkersError
            If a part was lost over and over.
        """
        with connected(self.address):
            # Arrays are read by all processes of a node where they lie; bytes would be copied.
            given = ray.put((work, files_of(work)))
            task = ray.remote(num_cpus=1, max_retries=MOST_RETRIES)(_done)
            flying: dict[Any, Any] = {}
            coming = iter(parts)
            while True:
                while len(flying) < QUEUED * n_cores() and (part := next(coming, None)):
                    flying[task.remote(given.hex(), [given], part[1])] = part[0]
                if not flying:
                    return
                yield _next_of(flying)


def files_of(work: Work) -> Files:
    """The content of the files that a work needs, by their paths in its folder."""
    folder, paths = work.folder, work.files
    return {path.relative_to(folder).as_posix(): np.fromfile(path, np.uint8) for path in paths}


def write_files(files: Files, folder: Path) -> None:
    """Fill a folder with what :func:`files_of` found in another."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content.tofile(path)


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be a driver of a cluster meanwhile, or go on with the one that this process is connected to.

    Raises
    ------
    InvalidInputError
        If no cluster answers.
    """
    if ray.is_initialized():
        yield
        return
    _check_answers(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # else it tells its makers
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, ValueError, RayError) as error:
        raise InvalidInputError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise :class:`InvalidInputError` if nobody listens at HOST:PORT."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), ANSWERS_S).close()
    except OSError as error:
        raise InvalidInputError(f"no Ray cluster answers at {address}: {error}") from error


def n_cores() -> int:
    """Of the cluster as it is now."""
    return max(1, int(ray.cluster_resources().get("CPU", 0)))


def _next_of(flying: dict[Any, Any]) -> Done:
    """The next that is done, which is no longer flying."""
    (ready,), _ = ray.wait(list(flying))
    try:
        made = ray.get(ready)
    except RayTaskError as error:
        raise error.cause from None  # as it was raised there
    except RayError as error:
        raise LostWorkersError(
            f"a part was lost {MOST_RETRIES} times, for instance for want of memory: {error}"
        ) from error
    return flying.pop(ready), made


_opened: dict[str, Do] = {}
"""The work that this process has opened, if it is one of Ray's."""


def _done(key: str, given: list[Any], part: Any) -> Any:
    """Do it; `given` is no argument of its own, for that would be fetched for every part."""
    if key not in _opened:
        work, files = ray.get(given[0])
        _opened.clear()
        with tempfile.TemporaryDirectory(prefix="proactrec-") as folder:
            write_files(files, Path(folder))
            _opened[key] = work.opened(Path(folder))
    return _opened[key](part)
