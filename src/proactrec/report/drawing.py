"""How our figures look, and how they get into files and pages."""

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proactrec.errors import MissingExtraError
from proactrec.report.extra import INSTALL

try:
    import matplotlib as mpl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError(INSTALL) from error


BLUE, VERMILION = "#0072b2", "#d55e00"
GREEN, PURPLE, ORANGE, SKY = "#009e73", "#cc79a7", "#e69f00", "#56b4e9"
"""Okabe and Ito's palette, told apart by every kind of colour vision."""
INK, MUTED, FAINT = "#23272e", "#5c6470", "#8a9099"
TEXT_OF = {
    VERMILION: "#b34e00",
    GREEN: "#007a59",
    PURPLE: "#9c4477",
    ORANGE: "#8c6000",
    SKY: "#22719f",
    FAINT: MUTED,
}
"""Darker shades for words beside lines of these colours: readable on white."""
PAGE_COLOURS = {
    BLUE: "var(--blue,#0072b2)",
    VERMILION: "var(--vermilion,#d55e00)",
    GREEN: "var(--plot-green,#009e73)",
    PURPLE: "var(--plot-purple,#cc79a7)",
    ORANGE: "var(--plot-orange,#e69f00)",
    SKY: "var(--plot-sky,#56b4e9)",
    TEXT_OF[VERMILION]: "var(--vermilion-text,#b34e00)",
    TEXT_OF[GREEN]: "var(--green-text,#007a59)",
    TEXT_OF[PURPLE]: "var(--purple-text,#9c4477)",
    TEXT_OF[ORANGE]: "var(--orange-text,#8c6000)",
    TEXT_OF[SKY]: "var(--sky-text,#22719f)",
    INK: "currentColor",
    MUTED: "var(--muted,#5c6470)",
    FAINT: "var(--faint,#8a9099)",
}
"""What an inline SVG uses instead, so that it follows the page's light or dark theme."""
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlepad": 12,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 2,
    "svg.fonttype": "none",
    "svg.hashsalt": "proactrec",
}


@contextmanager
def styled(title: str, height: float = 3.5, *, width: float = 5.8) -> Iterator[tuple[Figure, Axes]]:
    """A new figure with one axes, drawn in our style."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.set_title(title)
        yield figure, axes


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG at 160 dots per inch on white."""
    with mpl.rc_context(STYLE), _quiet():
        figure.savefig(path, format="png", dpi=160, facecolor="white")


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element to put into an HTML page.

    Text stays text, colours follow the page's theme (:data:`PAGE_COLOURS`), and ids begin with a
    hash of the drawing, so that different figures in one page do not clash. Nothing in it points
    outside, not even a namespace: HTML needs none.
    """
    buffer = io.StringIO()
    with mpl.rc_context(STYLE), _quiet():
        title = figure.get_suptitle() or figure.axes[0].get_title(loc="left")
        metadata = {"Date": None, "Title": title}
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", buffer.getvalue(), flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text[text.index("<svg") :])
    text = re.sub(r"<svg[^>]*>", _scalable, text, count=1)
    for fixed, themed in PAGE_COLOURS.items():
        text = text.replace(f": {fixed}", f": {themed}")
    text = text.replace("'DejaVu Sans'", "system-ui")
    return _unique_ids(text).strip()


def _scalable(tag: re.Match[str]) -> str:
    """The page decides how large a figure is: only the shape stays, and the width as drawn."""
    width = re.search(r'viewBox="0 0 ([0-9.]+)', tag[0])
    drawn = f' style="--drawn: {float(width[1]):.0f}"' if width else ""
    kept = re.sub(r' (width|height|version)="[^"]*"', "", tag[0])
    return kept.replace("<svg", f'<svg role="img"{drawn}')


def _unique_ids(text: str) -> str:
    """Drop ids that nothing refers to; put a hash of the drawing before the others."""
    used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
    prefix = "p" + hashlib.sha256(text.encode()).hexdigest()[:10]

    def renamed(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match[1]}"' if match[1] in used else ""

    text = re.sub(r' id="([^"]+)"', renamed, text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", text)
    return re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Titles may use any script: the page's fonts have what matplotlib's font lacks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield
