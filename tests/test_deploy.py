"""The container and compose files, which nothing here can run, read for what would break them."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from proactrec.cli.main import command

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
SERVICE_KEYS = {
    *("image", "build", "init", "entrypoint", "command", "environment", "secrets", "ports"),
    *("volumes", "depends_on", "healthcheck", "read_only", "tmpfs", "cap_drop", "security_opt"),
    *("stop_grace_period", "restart", "shm_size"),
}


def instructions() -> list[tuple[str, str]]:
    """Of the container file: what, and with what."""
    text = re.sub(r"\\\n\s*", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(what, rest) for what, _, rest in (line.partition(" ") for line in lines)]


def of(name: str) -> list[str]:
    return [rest for what, rest in instructions() if what == name]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def check_command(words: list[str]) -> None:
    """Whether the words after `proactrec` are a command of ours with options of its own."""
    known = {option for one in command(words[0]).params for option in one.opts}
    given = [word for word in words[1:] if word.startswith("--")]
    assert given
    assert set(given) <= known


def test_what_is_copied_exists_and_is_let_through() -> None:
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    sources = [source for rest in of("COPY") for source in rest.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in allowed


def test_the_image_installs_torch_first_and_runs_as_nobody_in_particular() -> None:
    installs = [rest for rest in of("RUN") if "pip install" in rest]
    assert "torch" in installs[0]
    assert "--index-url" in installs[0]
    extras = re.search(r"\.\[([\w,]+)\]", installs[1])
    assert extras is not None
    project = (ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = ", project, re.M) for extra in extras[1].split(","))
    assert re.search(r"^torch==", (ROOT / "constraints.txt").read_text(), re.M)
    assert of("USER") == ["10001"]
    assert of("FROM") == ["python:3.11-slim"]
    assert "/readyz" in of("HEALTHCHECK")[0]


def test_the_images_command_is_one_of_ours() -> None:
    assert yaml.safe_load(of("ENTRYPOINT")[0]) == ["proactrec"]
    check_command(yaml.safe_load(of("CMD")[0]))


def test_the_compose_file_is_one_whole(compose: dict[str, Any]) -> None:
    assert set(compose) == {"name", "services", "secrets", "volumes"}
    for name, service in compose["services"].items():
        assert set(service) <= SERVICE_KEYS
        assert ("image" in service) != ("build" in service)
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert set(service.get("depends_on", ())) <= set(compose["services"]) - {name}
        for volume in service["volumes"]:
            source = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", volume).split(":")[0]
            assert source.startswith("./") or source in compose["volumes"]
        for waited in service.get("depends_on", ()):
            assert "healthcheck" in compose["services"][waited]
    build = compose["services"]["proactrec"]["build"]
    context = (DEPLOY / build["context"]).resolve()
    assert context == ROOT
    assert (context / build["dockerfile"]).is_file()


def test_only_this_machine_gets_in_and_secrets_are_files(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        for name, value in service["environment"].items():
            assert "PASSWORD" not in name or value.startswith("/run/secrets/")
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "deploy/secrets" in ignored


def test_the_compose_files_command_is_one_of_ours(compose: dict[str, Any]) -> None:
    (line,) = compose["services"]["proactrec"]["command"]
    words = shlex.split(line.replace("$$(cat /run/secrets/database_password)", "PASSWORD"))
    assert words[0] == ("PROACTREC_DATABASE_URL=postgresql://proactrec:PASSWORD@database/proactrec")
    assert words[1:3] == ["exec", "proactrec"]
    check_command(words[3:])
