"""A page of docs/ as the site has it: links that leave the folder, formulas, intervals, fences."""

import posixpath
import re
from pathlib import Path

from formulas import mathml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"^( *)```.*?^\1```$", re.M | re.S)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
DISPLAYED = re.compile(r"^\$\$(.+?)\$\$$", re.M | re.S)
FORMULA = re.compile(r"(?<![\\\w$])\$([^$\n]+)\$(?![\w$])")
MINUS, PERCENT = re.compile(r"(?<=[\s(\[|/*>])-(?=\d)"), re.compile(r"(?<=\d)%(?![0-9A-F]{2})")
PLUS_MINUS, UP_TO = re.compile(r" ± (?=\d)"), re.compile(r"(?<=\d) to (?=[+−-]?\d)")
PAIR = re.compile(r"(?<=\d), (?=[+−-]\d+\.\d+\])")
RANGE = re.compile(r"\([+−-]?\d[\d.,]*–[\d.,]+\)")
DAY = re.compile(r"(?<=\| )\d{4}-\d{2}-\d{2}(?= \|)")
PICTURE = re.compile(r"^(!\[[^\]\n]*\]\(([^)\s]+)\))$", re.M)
MARKED = re.compile(r"^( *```\w+) (?:run|save=\S+)$", re.M)


class BrokenLinkError(Exception):
    """A page leads to a file that is not there."""


def page(text: str, at: str, repository: str) -> str:
    """A page's text for the site.

    Parameters
    ----------
    text : str
        As it stands in docs/.
    at : str
        Its path within docs/.
    repository : str
        URL of the repository, where files outside docs/ are.

    Raises
    ------
    BrokenLinkError
        If it names a file outside docs/ that does not exist.
    """
    found, end = [], 0
    for fence in FENCE.finditer(text):
        found += [_prose(text[end : fence.start()], at, repository), MARKED.sub(r"\1", fence[0])]
        end = fence.end()
    return "".join([*found, _prose(text[end:], at, repository)])


def _prose(text: str, at: str, repository: str) -> str:
    """Links, formulas and figures, but not within `code`."""
    codes = CODE.findall(text)
    parts = (_signed(_formulas(_kept(part))) for part in CODE.split(text))
    whole = "".join(part + code for part, code in zip(parts, [*codes, ""], strict=True))
    whole = PICTURE.sub(r"[\1](\2)", whole)  # a touch shows all of a picture's pixels
    return LINK.sub(lambda found: found[1] + _target(found[2], at, repository) + found[3], whole)


def _kept(text: str) -> str:
    """Intervals that break into two lines at most, and days into one, where a column is narrow."""
    whole = UP_TO.sub("\N{NO-BREAK SPACE}to ", PLUS_MINUS.sub(" ±\N{NO-BREAK SPACE}", text))
    whole = PAIR.sub(",\N{NO-BREAK SPACE}", whole)
    for kind in (DAY, RANGE):
        whole = kind.sub(r'<span class="whole">\g<0></span>', whole)
    return whole


def _formulas(text: str) -> str:
    text = DISPLAYED.sub(lambda found: mathml(found[1], display=True), text)
    return FORMULA.sub(lambda found: mathml(found[1]), text)


def _signed(text: str) -> str:
    """Figures with a true minus, and per cent as all pages write it; scripts write others."""
    return PERCENT.sub("\N{NO-BREAK SPACE}%", MINUS.sub("\N{MINUS SIGN}", text))


def _target(link: str, at: str, repository: str) -> str:
    if ":" in link or link.startswith("#"):
        return link
    path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(at), link))
    if path.startswith("docs/") and not path.startswith("docs/site/"):
        return link
    if not (ROOT / path).exists():
        raise BrokenLinkError(f"docs/{at} leads to {link}, which is not there")
    return f"{repository}/{'tree' if (ROOT / path).is_dir() else 'blob'}/main/{path}"
