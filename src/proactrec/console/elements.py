"""Plain elements of a page: headings, tables, fields and buttons, whose text is never markup."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

Cell = str | Callable[[], object]
"""Of a table: a text, or what builds an element there."""
Handler = Callable[[], Awaitable[object] | object]
T = TypeVar("T")


def text(tag: str, content: str = "", classes: str = "") -> TextElement:
    """An element with a text."""
    return TextElement(tag=tag, text=content).classes(classes)


def box(tag: str = "div", classes: str = "") -> Element:
    """An element for others: `with box("section"):`."""
    return ui.element(tag).classes(classes)


def attributes(element: Element, **values: str | bool) -> Element:
    """Give an element attributes; `aria_label` is `aria-label`."""
    for name, value in values.items():
        element._props[name.rstrip("_").replace("_", "-")] = value
    return element


def link(content: str, to: str, classes: str = "") -> TextElement:
    """A link within the console."""
    found = text("a", content, classes)
    attributes(found, href=to)
    return found


@dataclass(frozen=True)
class Made:
    """A cell that is built of values: the same ones make the same cell."""

    build: Callable[..., object]
    of: tuple[object, ...]

    def __call__(self) -> object:
        """Build it."""
        return self.build(*self.of)


def linked(content: str, to: str) -> Cell:
    """A link as a cell of a table."""
    return Made(link, (content, to))


def note(content: str, kind: str = "") -> TextElement:
    """A sentence that is not to be missed."""
    found = text("p", content, f"note {kind}")
    attributes(found, role="status")
    return found


class Kept(Generic[T]):
    """A place that is built anew only if it is to show something else than before."""

    def __init__(self, build: Callable[[T], object]) -> None:
        self._build = build
        self._place = box()
        self._shown: object = None

    def show(self, what: T) -> None:
        """Show this."""
        if what == self._shown:
            return
        self._shown = what
        self._place.clear()
        with self._place:
            self._build(what)


class Facts:
    """Figures with their names; shown again, they change in place."""

    def __init__(self) -> None:
        self._place = box("dl", "facts")
        self._names: list[str] = []
        self._texts: list[tuple[TextElement, TextElement]] = []

    def show(self, found: Iterable[tuple[str, str, str]]) -> None:
        """Names, values, and what is said below them."""
        pairs = list(found)
        if self._names != [name for name, _, _ in pairs]:
            self._names = [name for name, _, _ in pairs]
            self._place.clear()
            with self._place:
                self._texts = [_fact(name) for name in self._names]
        for (above, below), (_, value, said) in zip(self._texts, pairs, strict=True):
            above.set_text(value)
            below.set_text(said)


def facts(pairs: Iterable[tuple[str, str, str]]) -> None:
    """Figures that are shown once."""
    Facts().show(pairs)


def _fact(name: str) -> tuple[TextElement, TextElement]:
    with box():
        text("dt", name)
        with box("dd"):
            return text("span"), text("small")


class Table:
    """Rows under a head, whose cells change in place: whoever is in one of them stays there.

    Parameters
    ----------
    caption : str
    head : sequence of str
        Columns whose name begins with `#` hold numbers.
    """

    def __init__(self, caption: str, head: Sequence[str]) -> None:
        self._kinds = ["number" if name.startswith("#") else "" for name in head]
        self._rows: list[list[Cell]] = []
        self._cells: list[list[Element]] = []
        self._around = attributes(box("div", "wide"), tabindex="0", role="region")
        with self._around, box("table", "plain"):
            self._caption = text("caption")
            with box("thead"), box("tr"):
                for name, kind in zip(head, self._kinds, strict=True):
                    attributes(text("th", name.removeprefix("#"), kind), scope="col")
            self._body = box("tbody")
        self.name(caption)

    def name(self, caption: str) -> None:
        """Call it so."""
        self._caption.set_text(caption)
        if self._around._props.get("aria-label") != caption:
            attributes(self._around, aria_label=caption).update()

    def show(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Put these in place of what it holds."""
        given = [list(row) for row in rows]
        if _form(given) != _form(self._rows):
            self._body.clear()
            with self._body:
                self._cells = [self._row(row) for row in given]
        else:
            for cells, before, row in zip(self._cells, self._rows, given, strict=True):
                for element, shown, cell in zip(cells, before, row, strict=True):
                    if cell != shown:
                        _change(element, cell)
        self._rows = given

    def _row(self, row: Sequence[Cell]) -> list[Element]:
        with box("tr"):
            return [_cell(cell, kind) for cell, kind in zip(row, self._kinds, strict=True)]


def _form(rows: list[list[Cell]]) -> list[list[bool]]:
    """Which cells are texts."""
    return [[isinstance(cell, str) for cell in row] for row in rows]


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Rows that are shown once."""
    Table(caption, head).show(rows)


def _cell(cell: Cell, classes: str) -> Element:
    if isinstance(cell, str):
        return text("td", cell, classes)
    with box("td", classes) as found:
        cell()
    return found


def _change(element: Element, cell: Cell) -> None:
    if isinstance(cell, str):
        assert isinstance(element, TextElement)
        element.set_text(cell)
        return
    element.clear()
    with element:
        cell()


def button(label: str, do: Handler, kind: str = "") -> Element:
    """A button; `kind`: second, danger, or the main one. Pressed again while it works it waits."""
    found = attributes(text("button", label, f"act {kind}"), type="button")

    async def pressed() -> None:
        if "aria-busy" in found._props:
            return
        waiting = do()
        if not isinstance(waiting, Awaitable):
            return
        attributes(found, aria_busy="true").update()
        try:
            await waiting
        finally:
            if not found.is_deleted:
                found._props.pop("aria-busy", None)
                found.update()

    found.on("click", pressed, [])
    return found


def enable(element: Element, *, on: bool) -> None:
    """Let a button be pressed, or not."""
    if on:
        element._props.pop("disabled", None)
    else:
        element._props["disabled"] = "disabled"
    element.update()


class Field:
    """A labelled input, whose text is here while it is typed.

    Parameters
    ----------
    label : str
    hint : str, optional
        What is to be known of it, in a sentence.
    choices : dict of str, optional
        Names by value, for a list to choose from.
    """

    def __init__(
        self,
        label: str,
        value: str = "",
        *,
        hint: str = "",
        kind: str = "text",
        choices: dict[str, str] | None = None,
        on_change: Handler | None = None,
        **values: str | bool,
    ) -> None:
        self.value = value
        self.label, self._on_change = label, on_change
        with box("div", "field"):
            name = text("label", label)
            self.element = _input(kind, value, choices, values)
            attributes(name, for_=self.element.html_id)
            if hint:
                below = text("span", hint, "hint")
                attributes(self.element, aria_describedby=below.html_id)
        event = "change" if choices is not None else "input"
        self.element.on(event, self._changed, js_handler="(e) => emit(e.target.value)")
        if event == "input" and on_change is not None:
            self.element.on("change", self._done, js_handler="(e) => emit(e.target.value)")

    def number(self) -> float | None:
        """What it says as a number; None: nothing."""
        return float(self.value.replace(",", ".")) if self.value.strip() else None

    def point_out(self) -> None:
        """Lead whoever types there: what it says is wrong, until something else is typed."""
        attributes(self.element, aria_invalid="true")
        self.element.client.run_javascript(
            f"const field = document.getElementById('{self.element.html_id}');"
            "const around = field.closest('details');"
            "if (around) around.open = true;"
            "field.focus();"
        )

    def _changed(self, event: Any) -> Awaitable[object] | object:
        self.value = event.args
        self.element._props.pop("aria-invalid", None)
        if self._on_change is not None and self.element.tag == "select":
            return self._on_change()
        return None

    def _done(self, event: Any) -> Awaitable[object] | object:
        self.value = event.args
        return None if self._on_change is None else self._on_change()


def _input(
    kind: str, value: str, choices: dict[str, str] | None, values: dict[str, str | bool]
) -> Element:
    """What holds a value; an attribute (`^`) begins it, so that updates leave what is typed."""
    if choices is not None:
        with attributes(ui.element("select"), **values) as found:
            for one, name in choices.items():
                option = attributes(text("option", name), value=one)
                if one == value:
                    option._props["^selected"] = ""
        return found
    found = attributes(ui.element("input"), type=kind, **values)
    found._props["^value"] = value
    return found


class Check:
    """A box that is ticked or not."""

    def __init__(self, label: str, *, value: bool = False, hint: str = "") -> None:
        self.value = value
        with box("div", "check"):
            element = attributes(ui.element("input"), type="checkbox")
            if value:
                element._props["^checked"] = ""
            attributes(text("label", label), for_=element.html_id)
        if hint:
            text("p", hint, "hint")
        element.on("change", self._changed, js_handler="(e) => emit(e.target.checked)")

    def _changed(self, event: Any) -> None:
        self.value = event.args
