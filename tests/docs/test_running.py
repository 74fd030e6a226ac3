"""Blocks that pages mark with `run` do what they say, in order, as somebody would copy them."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .blocks import BLOCKS, Block

PATIENCE = 900  # s
PORT = "8080"
SMALLER = (
    (r"--n-users 200|n_users=200", lambda found: found[0].replace("200", "20")),
    (r"(?m)--set graphau\.\S+$", r"\g<0> --set encoder_options.embedding_dim=8"),
    (
        r"(\S*graphau)\.stopping\.n_epochs=10",
        r"\1.stopping.n_epochs=1 --set \1.stopping.min_epochs=1 --set \1.embedding_dim=8",
    ),
    (
        r'"graphau.stopping.n_epochs": 10,',
        '"graphau.stopping.n_epochs": 1, "graphau.stopping.min_epochs": 1,'
        '"graphau.embedding_dim": 8,',
    ),
    (
        r"encoder_options\.stopping\.n_epochs=3",
        "encoder_options.stopping.n_epochs=1 --set encoder_options.embedding_dim=8",
    ),
    (
        r'"encoder_options.stopping.n_epochs": 3,',
        '"encoder_options.stopping.n_epochs": 1, "encoder_options.embedding_dim": 8,',
    ),
)
"""What pages that are run say of sizes, and what is enough to see that it runs."""
BEFORE = "set -euo pipefail\nshopt -s expand_aliases\n"
PAGES = sorted({block.page for block in BLOCKS if block.mark == "run"})


def script(blocks: list[Block]) -> str:
    """One script of a page's blocks: each says where it stands before it runs."""
    parts = [BEFORE]
    for at, block in enumerate(blocks):
        end = f"END_OF_BLOCK_{at}"
        parts.append(f"echo '=== {block.place}' >&2\n")
        if block.mark.startswith("save="):
            file = block.mark.removeprefix("save=")
            parts.append(f"cat > {file} <<'{end}'\n{block.code}{end}\n")
        elif block.language == "python":
            parts.append(f"python - <<'{end}'\n{block.code}{end}\n")
        else:
            parts.append(block.code)
    return "".join(parts)


def smaller(text: str) -> str:
    """The same with fewer users, epochs and dimensions."""
    for pattern, with_what in SMALLER:
        text = re.sub(pattern, with_what, text)
    return text


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_says_can_be_done(page: str, tmp_path: Path) -> None:
    blocks = [block for block in BLOCKS if block.page == page and block.mark]
    file, told = tmp_path / "page.sh", tmp_path / "told"
    file.write_text(smaller(script(blocks)).replace(PORT, free_port()))
    own = Path(sys.executable).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{own}:{os.environ['PATH']}"}
    environment.pop("PROACTREC_DATA", None)
    folder = tmp_path / "empty"
    folder.mkdir()
    with told.open("w") as output:
        process = subprocess.Popen(
            ["bash", str(file)],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,  # what it leaves running ends with it
        )
        try:
            code = process.wait(PATIENCE)
        finally:
            for one in (signal.SIGTERM, signal.SIGKILL):
                end(process.pid, one)
    assert code == 0, told.read_text()[-4000:]


def end(group: int, by: signal.Signals) -> None:
    try:
        os.killpg(group, by)
    except ProcessLookupError:
        return


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in SMALLER])
def test_what_is_made_smaller_stands_on_a_page(pattern: str) -> None:
    assert any(re.search(pattern, block.code) for block in BLOCKS if block.mark)


def test_a_script_stops_at_the_first_block_that_fails(tmp_path: Path) -> None:
    blocks = [
        Block("page.md", 1, "python", "save=mine.py", "x = 1\n"),
        Block("page.md", 5, "python", "run", "from mine import x\nassert x == 1\n"),
        Block("page.md", 9, "console", "run", "alias say='echo $PPID is alive'\nsay; false\n"),
        Block("page.md", 12, "console", "run", "echo never\n"),
    ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script(blocks)],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is alive" in done.stdout
    assert "never" not in done.stdout
    assert [line for line in done.stderr.splitlines() if line.startswith("===")] == [
        "=== page.md:1",
        "=== page.md:5",
        "=== page.md:9",
    ]
