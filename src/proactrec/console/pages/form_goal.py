"""Where a campaign leads: a category is chosen, or items are searched for."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from proactrec.console import words
from proactrec.console.elements import Cell, Field, attributes, box, button, note, table, text
from proactrec.console.frame import filled
from proactrec.console.pages.form_values import FieldError, counted, whole
from proactrec.console.sessions import Session
from proactrec.serving.looking import CategorySeen, ItemsSeen, as_tree
from proactrec.store.campaign import Goal

MOST_FOUND = 20
BY_ITEMS = ""


class GoalFields:
    """Fields of a goal.

    Parameters
    ----------
    session : Session
    categories : sequence of CategorySeen
    given : Goal
        What they say at first.
    titles : mapping of str
        Of its items, by id.
    """

    def __init__(
        self,
        session: Session,
        categories: Sequence[CategorySeen],
        given: Goal,
        titles: Mapping[str, str],
    ) -> None:
        self._session = session
        self._categories = {one.name: one for one in categories}
        self._items = {one: titles.get(one, "") for one in given.items}
        choices = {one.name: f"{one.name} ({one.available} items)" for one in as_tree(categories)}
        there = {name: said for name, said in choices.items() if self._categories[name].available}
        if given.category is not None:
            there.setdefault(given.category, choices.get(given.category, given.category))
        self._category = Field(
            "Category",
            given.category or BY_ITEMS,
            choices={**there, BY_ITEMS: "single items, chosen below"},
            hint="The most promising ones stand first, by a rule of thumb; each is followed by "
            "those in it.",
            on_change=self._reasons,
        )
        self._why = attributes(box(), aria_live="polite")
        self._n_targets = Field(
            "Items of it that are targets, at most",
            counted(given.n_targets),
            kind="number",
            hint=words.TERMS["target"],
            min="1",
        )
        self._chosen = box()
        self._reasons()

    def said(self) -> dict[str, Any]:
        """The goal.

        Raises
        ------
        FieldError
            If it says none.
        """
        if self._category.value != BY_ITEMS:
            n_targets = whole(self._n_targets)
            return {"category": self._category.value, "n_targets": n_targets, "items": ()}
        if not self._items:
            raise FieldError(self._category, "must be chosen, or items searched for and added")
        return {"category": None, "n_targets": None, "items": tuple(self._items)}

    def _reasons(self) -> None:
        """What speaks for the category; or the search for items."""
        self._why.clear()
        self._chosen.clear()
        if self._category.value == BY_ITEMS:
            with self._chosen:
                self._search()
            return
        found = self._categories.get(self._category.value)
        with self._why, box("ul", "hint"):
            for reason in found.reasons if found is not None else ("No item of it is there now.",):
                text("li", reason)

    def _search(self) -> None:
        wanted = Field("Search items by title or id", kind="search")
        place = attributes(box(), aria_live="polite")
        chosen = attributes(box(), aria_live="polite")

        async def ask() -> ItemsSeen:
            return await self._session.ask(
                lambda client: client.find_items(wanted.value or None, limit=MOST_FOUND)
            )

        def add(item_id: str, title: str) -> None:
            self._items[item_id] = title
            show_chosen()

        def remove(item_id: str) -> None:
            del self._items[item_id]
            show_chosen()

        def show(found: ItemsSeen) -> None:
            if not found.items:
                note("No item's title or id has this in it.")
                return
            rows: list[list[Cell]] = [
                [
                    one.title or one.item_id,
                    ", ".join(one.categories),
                    words.count(one.users),
                    adding(one.item_id, one.title),
                ]
                for one in found.items
            ]
            table("Items found", ("Item", "Categories", "#Users who had it", "Choose"), rows)

        def adding(item_id: str, title: str) -> Cell:
            return lambda: button("Add", lambda: add(item_id, title), "second")

        def show_chosen() -> None:
            chosen.clear()
            with chosen, box("ul"):
                for item_id, title in self._items.items():
                    with box("li"):
                        text("span", f"{title or item_id} ")
                        button("Remove", partial(remove, item_id), "second")

        button("Search", lambda: filled(place, ask, show), "second")
        show_chosen()
