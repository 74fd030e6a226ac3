"""Plain elements of a page: headings, tables, fields and buttons, whose text is never markup."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

Cell = str | Callable[[], object]
"""Of a table: a text, or what builds an element there."""
Handler = Callable[[], Awaitable[object] | object]


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


def linked(content: str, to: str) -> Cell:
    """The same as a cell of a table."""
    return lambda: link(content, to)


def note(content: str, kind: str = "") -> None:
    """A sentence that is not to be missed."""
    attributes(text("p", content, f"note {kind}"), role="status")


def facts(pairs: Iterable[tuple[str, str, str]]) -> None:
    """Figures with their names, and what is said below them."""
    with box("dl", "facts"):
        for name, value, below in pairs:
            with box():
                text("dt", name)
                with box("dd"):
                    text("span", value)
                    if below:
                        text("small", below)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Rows under a head; columns whose name begins with `#` hold numbers."""
    around = attributes(box("div", "wide"), tabindex="0", role="region", aria_label=caption)
    with around, box("table", "plain"):
        text("caption", caption)
        with box("thead"), box("tr"):
            for name in head:
                attributes(text("th", name.removeprefix("#"), _kind(name)), scope="col")
        with box("tbody"):
            for row in rows:
                with box("tr"):
                    for name, cell in zip(head, row, strict=True):
                        _cell(cell, _kind(name))


def _kind(name: str) -> str:
    return "number" if name.startswith("#") else ""


def _cell(cell: Cell, classes: str) -> None:
    if isinstance(cell, str):
        text("td", cell, classes)
        return
    with box("td", classes):
        cell()


def button(label: str, do: Handler, kind: str = "") -> Element:
    """A button; `kind`: second, danger, or the main one."""
    found = attributes(text("button", label, f"act {kind}"), type="button")
    found.on("click", lambda: do(), [])
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
