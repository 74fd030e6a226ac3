"""Guides that hosts of campaigns are tested with, and a shop on either database."""

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from proactrec.store.database import Database

from ..e2e.conftest import here as here
from ..guidance.fitted import fit
from .hosting import Shop


@pytest.fixture(scope="session")
def guide_folder(made_once: Callable[..., Path]) -> Callable[..., Path]:
    """Gives the folder of a saved guide, by policy."""

    def folder_of(policy: str = "itmprec", *, shows_again: bool = False) -> Path:
        name = f"guide-{policy}-{shows_again}".replace(" ", "-").replace(",", "")

        def fill(folder: Path) -> None:
            saved = fit(folder, policy)
            guide = replace(saved.guide, shows_again=shows_again)
            replace(saved, guide=guide).save(folder / "guide")

        return made_once(name, fill) / "guide"

    return folder_of


@pytest.fixture
def shop(database: Database, guide_folder: Callable[..., Path]) -> Shop:
    """A shop with a host of ITMPRec's guide."""
    return Shop(database, guide_folder())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of this machine, signed by itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext"]
    made += ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    return cert, key
