"""What pages show as code: blocks between fences, by language, and commands within sentences."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)(`{3,})(\S*)( [^\n]*)?\n(.*?)^\1\2$", re.M | re.S)
INLINE = re.compile(r"`(proactrec [^`\n]+)`")


class Block(NamedTuple):
    """A block of code on a page."""

    page: str  # from the root of the repository
    line: int  # of its first line
    language: str
    mark: str  # what its fence says besides
    code: str

    @property
    def place(self) -> str:
        """Where a reader finds it."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """All that people read, but what was measured: its commands are those of their commit."""
    folders = ("docs", "docs/guide", "docs/methods", "docs/start")
    found = [path for folder in folders for path in sorted((ROOT / folder).glob("*.md"))]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *found]


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a page, in their order."""
    text, page = path.read_text(), path.relative_to(ROOT).as_posix()
    return [
        Block(page, text.count("\n", 0, found.start(5)) + 1, found[3], (found[4] or "").strip(),
              _outdented(found[5], found[1]))
        for found in FENCE.finditer(text)
    ]  # fmt: skip


def inline_commands(path: Path) -> list[tuple[str, str]]:
    """Where sentences of a page name commands, and which."""
    text, page = path.read_text(), path.relative_to(ROOT).as_posix()
    plain = FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)
    return [
        (f"{page}:{plain.count(chr(10), 0, found.start()) + 1}", found[1])
        for found in INLINE.finditer(plain)
    ]


def _outdented(code: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))


BLOCKS = [block for path in pages() for block in blocks_of(path)]
