"""A guide's folder written anew without a user.

The user's id and history go from `users.parquet`, and the row of every model that has a row a user.
What all users taught together stays: item vectors, intents and knowledge are sums over them.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from proactrec.errors import UnknownIdError
from proactrec.files import replacing_folder, write_json
from proactrec.guidance.known import KnownUsers
from proactrec.guidance.saved import ABOUT, MODELS, USERS, read_about


def forget(folder: Path, user_id: str) -> int:
    """Write a guide without a user, all others in their rows; the row that was the user's.

    The folder, or the one that a link leads to, changes whole or not at all; of several who do it
    at once each goes on from what the one before wrote. It is the same guide: what was learned with
    it goes on.

    Raises
    ------
    UnknownIdError
        If the folder holds no guide, or the guide does not know the user.
    """
    folder = folder.resolve()
    if not folder.parent.is_dir():
        raise UnknownIdError(f"{folder} holds no guide: make one with `proactrec guide fit`")
    with _alone(folder):
        about, known = read_about(folder), KnownUsers.load(folder / USERS)
        row = known.index.get(user_id, -1)
        if row < 0:
            raise UnknownIdError(f"guide {folder} does not know the user {user_id!r}")
        with replacing_folder(folder) as partial:
            _write(folder, partial, about, known, row)
    return row


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait for whoever forgets here too, from what is read until it is written."""
    lock = folder.with_name(f".{folder.name}.lock")
    while True:
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _lies_at(file, lock):  # who was before has taken it away
                continue
            try:
                yield
            finally:
                lock.unlink()
            return


def _lies_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _write(folder: Path, partial: Path, about: dict[str, Any], known: KnownUsers, row: int) -> None:
    shutil.copytree(folder, partial, dirs_exist_ok=True)
    without = known.without(row)
    without.save(partial / USERS)
    for path in sorted((partial / MODELS).rglob("*.safetensors")):
        _forget_row(path, row, len(known.user_ids))
    for path in sorted((partial / MODELS).rglob("*.json")):
        _forget_id(path, known.user_ids[row])
    write_json(partial / ABOUT, {**about, "n_users": len(without.index)})


def _forget_row(path: Path, row: int, n_users: int) -> None:
    """Let a user's row be what the others' are on average, who is unknown stands at their mean."""
    tensors = load_file(path)
    changed = {
        name: _without(table, row)
        for name, table in tensors.items()
        if name.startswith("user") and len(table) == n_users
    }
    if changed:
        save_file({**tensors, **changed}, path)


def _without(table: Tensor, row: int) -> Tensor:
    others = torch.arange(len(table)) != row
    other = table.clone()
    other[row] = table[others].mean(0) if others.any() else 0
    return other


def _forget_id(path: Path, user_id: str) -> None:
    about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if user_id in about.get("user_ids", ()):
        ids = ["" if one == user_id else one for one in about["user_ids"]]
        write_json(path, {**about, "user_ids": ids})
