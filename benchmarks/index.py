"""The tables of all results and of all studies, from the pages' JSON and the scripts' doc lines.

Usage: python benchmarks/index.py, after a page or a script was added: writes docs/results/index.md
and benchmarks/README.md.
"""

import ast
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from proactrec.files import write_text
from shared.compact import read_figures
from shared.tables import table

STUDIES = Path(__file__).resolve().parent
ROOT = STUDIES.parent
DOCS = ROOT / "docs"
RESULTS = DOCS / "results"
OF_RESULTS, OF_STUDIES = RESULTS / "index.md", STUDIES / "README.md"
ABOUT_RESULTS = """# Results

Every figure of these docs has a page here, which begins with the command, commit, machine and \
date that it comes from; its JSON lies beside it. Pictures are drawn from the JSON by \
`make results` and not kept. A study is a script of `benchmarks/`. This table is made by \
`python benchmarks/index.py`.
"""
ABOUT_STUDIES = """# Studies

The scripts behind [the results](../docs/results/index.md). This page is made by \
`python benchmarks/index.py`.

A study is one script here: its first line says what it measures, `Usage:` how it is run, from the \
root of the repository. It hands figures and text to `write_page` of `shared/page.py`, which \
writes page and JSON with their origin; what stands in the JSON is packed by `shared/compact.py`. \
A picture is a function of that JSON, listed in `plots.py`. Further files of a study lie in \
`NAME_parts/`, what several need in `shared/`. Studies import the package, but not its command line.
"""
WRITES = re.compile(r"^from shared\.page import .*\bwrite_page\b", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#\s]+\.md)(?:#[^)]*)?\)")


class Page(NamedTuple):
    """A results page and where it comes from."""

    path: Path
    title: str
    origin: dict[str, str]

    @property
    def script(self) -> str:
        """File name of the study that wrote it."""
        return Path(shlex.split(self.origin["command"])[1]).name


def main() -> None:
    """Write both tables."""
    write_text(OF_RESULTS, results_text())
    write_text(OF_STUDIES, studies_text())


def pages() -> list[Page]:
    """All results pages, by name."""
    return [page_of(path) for path in sorted(RESULTS.glob("*.md")) if path != OF_RESULTS]


def page_of(path: Path) -> Page:
    """A page, by its Markdown."""
    title = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    content: dict[str, Any] = read_figures(path.with_suffix(".json"))
    return Page(path, title, content["origin"])


def cited() -> dict[Path, list[Path]]:
    """Results page → docs pages and README that link to it; tables of contents do not count."""
    found: dict[Path, list[Path]] = {}
    for path in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        if path.name == "index.md":
            continue
        for target in dict.fromkeys(LINK.findall(path.read_text())):
            page = (path.parent / target).resolve()
            if page.parent == RESULTS and page != path:
                found.setdefault(page, []).append(path)
    return found


def results_text() -> str:
    """docs/results/index.md."""
    known, by = pages(), cited()
    machines = list(dict.fromkeys(page.origin["machine"] for page in known))
    heads = ("page", "supports", "study", "measured", "machine")
    rows = [
        (
            f"[{page.title}]({page.path.name})",
            ", ".join(_links(by.get(page.path, ()))),
            f"`{page.script}`",
            page.origin["date"],
            str(machines.index(page.origin["machine"]) + 1),
        )
        for page in known
    ]
    named = [f"{number}. {machine}" for number, machine in enumerate(machines, 1)]
    return "\n".join([ABOUT_RESULTS, table(heads, rows), "", "Machines:", "", *named, ""])


def _links(paths: Iterable[Path]) -> Iterator[str]:
    """Links to pages of the docs; what stands outside them is only named."""
    for path in paths:
        if not path.is_relative_to(DOCS):
            yield path.stem
        elif path.parent == RESULTS:
            yield f"[{path.stem}]({path.name})"
        else:
            yield f"[{path.stem}](../{path.relative_to(DOCS)})"


def studies_text() -> str:
    """benchmarks/README.md."""
    by_script: dict[str, list[str]] = {}
    for page in pages():
        link = f"[{page.path.stem}](../docs/results/{page.path.name})"
        by_script.setdefault(page.script, []).append(link)
    scripts = sorted(STUDIES.glob("*.py"))
    studies = [path for path in scripts if WRITES.search(path.read_text())]
    rows = [(f"`{p.name}`", said(p), ", ".join(by_script.get(p.name, ()))) for p in studies]
    others = [(f"`{p.name}`", said(p)) for p in scripts if p not in studies]
    folders = [(f"`{p.parent.name}/`", said(p)) for p in sorted(STUDIES.glob("*/__init__.py"))]
    return "\n".join(
        [
            ABOUT_STUDIES,
            table(("study", "what it measures", "pages"), rows),
            "",
            "What they need beside them:",
            "",
            table(("script or folder", "what it is"), [*others, *folders]),
            "",
        ]
    )


def said(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    main()
