"""Where commands say how far they are: a bar on a terminal, a line now and then elsewhere."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.segment import Segment
from rich.text import Text

from proactrec.cli.streams import clean
from proactrec.progress import PrintedProgress, silent
from proactrec.progress import Progress as Callback


class Terminal(Console):
    """A console that shows texts as they are: no markup in them, and nothing that steers it."""

    def __init__(self, **how: Any) -> None:
        super().__init__(markup=False, emoji=False, **how)

    def render_str(self, text: str, **how: Any) -> Text:
        """A text, made visible before it is laid out."""
        return super().render_str(clean(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments, those of texts that were laid out by others made visible too."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(clean(segment.text), segment.style)


errors = Terminal(stderr=True)


@contextmanager
def progress() -> Iterator[Callback]:
    """A progress callback that shows itself on standard error.

    Of processes that train together the first speaks.
    """
    if os.environ.get("RANK", "0") != "0":
        yield silent
    elif errors.is_terminal:
        with _bars() as bars:
            yield _BarProgress(bars)
    else:
        yield PrintedProgress()


def warn(sentences: list[str]) -> None:
    """Print warnings on standard error."""
    for sentence in sentences:
        note(f"warning: {sentence}")


def note(sentence: str) -> None:
    """Print what is good to know on standard error."""
    errors.print(sentence, highlight=False, soft_wrap=True)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description:<9}", markup=False),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=errors,
    )


class _BarProgress:
    def __init__(self, bars: Progress) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=total, note=note)
        self.bars.update(self.tasks[stage], completed=done, total=total, note=note)
