"""The service keeps what /openapi.json says, whatever is sent to it: schemathesis tries, seeded."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from proactrec.serving.rates import Buckets, Rate
from proactrec.store.database import Database
from proactrec.store.keys import Scope

from .live import Live, live, made_key

COMMAND = [sys.executable, "-m", "schemathesis.cli", "run"]
EXCLUDED = "positive_data_acceptance"
"""Rules that join fields, such as `items or category`, are told in sentences, not by a schema."""
EXAMPLES: dict[Scope, tuple[int, str]] = {
    "admin": (4, "examples,coverage,fuzzing,stateful"),
    "decide": (1, "fuzzing"),  # all but a few are forbidden, whatever is sent
}
"""The widest scope and the narrowest; which routes each opens, test_owasp.py says."""


@pytest.fixture(scope="module")
def service(
    guide_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    database = Database(str(tmp_path_factory.mktemp("store") / "store.db"))
    database.migrate()
    with live(database, guide_folder()) as found:
        found.service.door._wrong = Buckets(Rate(100_000, 60))  # it tries many
        yield found


def described(service: Live) -> dict[str, Any]:
    """What the service says of itself, with examples that exist here."""
    schema: dict[str, Any] = httpx2.get(f"{service.url}/openapi.json").json()
    there = {"campaign_id": service.running(), "user_id": "u01", "key_id": "none", "version": 1}
    there["kind"] = "worlds"
    for operations in schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["example"] = there[parameter["name"]]
    for path in ("/v1/campaigns", "/v1/campaigns/look"):
        body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        # What a campaign says is read from YAML too, where a number may be text: not tried here.
        body["schema"] = {"type": "object", "required": ["name", "goal"]}
        body["example"] = {"name": "test", "goal": {"items": ["i04"]}}
    return schema


@pytest.mark.slow
@pytest.mark.parametrize("scope", EXAMPLES)
def test_whatever_is_sent_is_answered_as_described(
    service: Live, scope: Scope, tmp_path: Path
) -> None:
    n_examples, phases = EXAMPLES[scope]
    key = made_key(service.service.database, scope)
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(described(service)))
    done = subprocess.run(
        [
            *COMMAND,
            *(str(path), "--url", service.url, "--header", f"Authorization: Bearer {key}"),
            *("--seed", "1", "--max-examples", str(n_examples), "--phases", phases),
            *("--exclude-checks", EXCLUDED, "--generation-database", "none", "--no-color"),
            *("--request-timeout", "60"),  # ten seconds pass, for 500 users, on a loaded machine
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
