"""A results page: Markdown beside its JSON, with command, commit, machine and date."""

import argparse
import os
import platform
import shlex
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from shared.compact import write_figures


def page_parser(about: str | None, *before: str) -> argparse.ArgumentParser:
    """The command line of a study: what stands `before` the page, and the page."""
    parser = argparse.ArgumentParser(description=about)
    for name in before:
        parser.add_argument(name)
    parser.add_argument("page", type=Path, help="Markdown page to write, its JSON beside it")
    return parser


def origin() -> dict[str, str]:
    """Where figures come from: command, commit, machine and date."""
    command, here = ["git", "rev-parse", "HEAD"], Path(__file__).parent
    head = subprocess.run(command, cwd=here, capture_output=True, text=True)
    return {
        "command": shlex.join(["python", *sys.argv]),
        "commit": head.stdout.strip(),
        "machine": f"{_cpu_name()}, {os.cpu_count()} cores, {platform.platform()}",
        "date": date.today().isoformat(),
    }


def write_page(path: Path, title: str, content: dict[str, Any], body: str) -> None:
    """Write `path` (Markdown) and the JSON of the same name; text under the last rule is kept.

    Everything below a line `<!-- by hand -->` in an existing page is a person's reading of the
    figures and stays. The JSON holds the figures shortened, see :mod:`shared.compact`.
    """
    mark = "<!-- by hand -->"
    kept = path.read_text(encoding="utf-8").partition(mark)[2] if path.exists() else "\n"
    about = content["origin"]
    lines = [
        f"# {title}",
        "",
        f"`{about['command']}`, commit `{about['commit'][:12]}`, {about['machine']}, "
        f"{about['date']}. Figures: [{path.stem}.json]({path.stem}.json).",
        "",
        body,
        "",
        "",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + mark + kept, encoding="utf-8")
    write_figures(path.with_suffix(".json"), content)


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), "unknown")
