"""A campaign is made: from a category or items to a draft whose forecast is on its way."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from fastapi import Request
from nicegui import ui

from proactrec.console import words
from proactrec.console.elements import (
    Cell,
    Check,
    Field,
    attributes,
    box,
    button,
    note,
    table,
    text,
)
from proactrec.console.frame import filled, page_of, problem, shown
from proactrec.console.sessions import Session
from proactrec.errors import InvalidInputError, ProactrecError
from proactrec.serving.client import Client
from proactrec.serving.looking import CategorySeen, GoalLook, ItemsSeen, UsersNeeded
from proactrec.serving.studies import PolicySeen
from proactrec.store.campaign import Campaign

MOST_FOUND = 20
BY_ITEMS, NONE = "", "-"
RAILS = (
    ("daily_cap", "Guided items a user sees a day, at most", "2", "Over all campaigns."),
    ("item_cap_per_day", "Times an item is guided to a day, at most", "", "Over all users."),
    ("acceptance_floor", "Least chance of being accepted", "", "From 0 to 1, as it is foretold."),
    ("plain_share", "Share of rounds that stay free of guidance", "", "From 0 to 1."),
    ("pause_after", "Refusals in a row after which it pauses", "", "For one user."),
)


def build() -> None:
    """The page `/new`."""

    @ui.page("/new")
    async def new(request: Request) -> None:
        with page_of(request, "New campaign", "operate") as session:
            if session is not None:
                text(
                    "p",
                    "Say where users are led, who takes part, and which limits hold. Nobody is "
                    "guided before you have seen a forecast and start it.",
                )
                await shown(
                    lambda: session.ask(seen),
                    lambda found: Form(session, found),
                    "Reading the guide …",
                )


class Seen(NamedTuple):
    """What there is to choose from."""

    categories: Sequence[CategorySeen]
    policies: Sequence[PolicySeen]


def seen(client: Client) -> Seen:
    """What the guide has."""
    return Seen(client.categories(), client.policies())


class Form:
    """All that is asked of whoever makes a campaign."""

    def __init__(self, session: Session, found: Seen) -> None:
        self._session, self._policies = session, found.policies
        self._categories = {one.name: one for one in found.categories}
        self._items: dict[str, str] = {}  # titles by id
        self._goal()
        self._who()
        self._arms()
        self._limits()
        with box("div", "row-of"):
            button("Look at targets and audience", self._look, "second")
            button("Save as a draft and forecast it", self._save)
        self._told = attributes(box(), aria_live="polite")

    def _goal(self) -> None:
        with box("fieldset"):
            text("legend", "Where it leads")
            self.name = Field("Name of the campaign", required=True, maxlength="200")
            choices = {
                one.name: f"{one.name} ({one.available} items)"
                for one in self._categories.values()
                if one.available
            }
            first = next(iter(choices), BY_ITEMS)
            self.category = Field(
                "Category",
                first,
                choices={**choices, BY_ITEMS: "single items, chosen below"},
                hint="The most promising ones stand first, by a rule of thumb.",
                on_change=self._reasons,
            )
            self._why = attributes(box(), aria_live="polite")
            self.n_targets = Field(
                "Items of it that are targets, at most",
                "20",
                kind="number",
                hint=words.TERMS["target"],
                min="1",
            )
            self._chosen = box()
            self._reasons()

    def _reasons(self) -> None:
        """What speaks for the category; or the search for items."""
        self._why.clear()
        self._chosen.clear()
        found = self._categories.get(self.category.value)
        with self._why:
            if found is not None:
                with box("ul", "hint"):
                    for reason in found.reasons:
                        text("li", reason)
        if found is None:
            with self._chosen:
                self._search()

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

    def _who(self) -> None:
        with box("fieldset"):
            text("legend", "Who takes part")
            self.groups = Field(
                "Only users of these groups",
                hint="Names with commas between them; empty: everybody who asks.",
            )
            self.except_groups = Field("Never users of these groups", hint="For example: minors.")
            self.hold_out = Field(
                "Share that is held out",
                "0.1",
                kind="number",
                hint=words.TERMS["hold-out"],
                min="0",
                max="0.99",
                step="0.01",
            )
            text("h3", "How many users are needed?")
            with box("div", "row-of"):
                self.rate = Field("Take a target without it, share", "0.05", kind="number")
                self.effect = Field("Rise that should be seen", "0.02", kind="number")
                button("Reckon", self._reckon, "second")
            self._needed = attributes(box(), aria_live="polite")
            self.users = Field(
                "Users measured at the planned end",
                kind="number",
                hint="Decided before anybody looks; empty: open-ended, with wider intervals.",
            )

    def _arms(self) -> None:
        with box("fieldset"):
            text("legend", "How they are guided")
            own = {"": "the guide's own"}
            names = {one.name: one.name for one in self._policies}
            self.policy = Field(
                "Policy", "", choices={**own, **names}, hint="What chooses the steps."
            )
            self.other = Field(
                "A second one, to compare with",
                NONE,
                choices={NONE: "none", **own, **names},
                hint=words.TERMS["arm"] + " Two have half of the users each.",
            )
            text("p", "Policies are told and compared on the pages Policies and Worlds.", "hint")

    async def _reckon(self) -> None:
        async def ask() -> UsersNeeded:
            given = {
                name: field.number() or 0.0
                for name, field in (
                    ("effect", self.effect),
                    ("rate", self.rate),
                    ("hold_out", self.hold_out),
                )
            }
            return await self._session.ask(lambda client: client.power(**given))

        def show(found: UsersNeeded) -> None:
            note(
                f"{words.count(found.users)} users, those held out included, show a rise from "
                f"{found.rate:.1%} by {100 * found.effect:.1f} points in 4 of 5 cases.",
                "good",
            )

        await filled(self._needed, ask, show)

    def _limits(self) -> None:
        with box("fieldset"):
            text("legend", "Limits")
            text("p", words.TERMS["rails"] + " What each costs is measured with the forecast.")
            self.rails = {
                name: Field(label, value, kind="number", hint=hint, step="any")
                for name, label, value, hint in RAILS
            }
            self.total = Field("Guided items in all, at most", kind="number", min="0")
            self.per_day = Field("Guided items a day, at most", kind="number", min="0")
            self.acceptance = Field(
                "Stops by itself if acceptance falls by",
                "0.1",
                kind="number",
                hint="Credibly, against who is held out; a share, empty: never.",
                step="any",
            )
            self.opt_outs = Field(
                "Stops by itself if more users opt out by",
                "0.02",
                kind="number",
                hint="The same for users who opt out or complain.",
                step="any",
            )
            self.time_zone = Field("Time zone of days", str(self._session.zone))
            self.promoted = Check(
                "Mark guided items as promoted", value=True, hint=words.TERMS["promoted"]
            )
            self.on_behalf_of = Field("On behalf of", hint="Who wants it, or pays for it.")
            self.ramp = Field(
                "How it grows",
                "1",
                choices={
                    "1": "the whole audience at once",
                    "0.05, 0.25, 1": "5 %, 25 %, then all, a day each at least",
                    "0.01, 0.05, 0.25, 1": "1 %, 5 %, 25 %, then all, a day each at least",
                },
                hint=words.TERMS["ramp"],
            )

    def said(self) -> Campaign:
        """The campaign.

        Raises
        ------
        InvalidInputError
            If it breaks a rule.
        """
        rails = {name: _number(field) for name, field in self.rails.items() if field.value.strip()}
        budget = {"total": _whole(self.total), "per_day": _whole(self.per_day)}
        return Campaign(
            **{
                "name": self.name.value.strip(),
                "goal": self._goal_said(),
                "audience": self._audience_said(),
                "arms": self._arms_said(),
                "hold_out": _number(self.hold_out) or 0.0,
                "rails": rails,
                "budget": {**budget, "time_zone": self.time_zone.value.strip() or "UTC"},
                "label": {
                    "promoted": self.promoted.value,
                    "on_behalf_of": self.on_behalf_of.value.strip() or None,
                },
                "ramp": {"steps": [float(one) for one in self.ramp.value.split(",")]},
                "guardrails": {
                    "acceptance": _number(self.acceptance),
                    "opt_outs": _number(self.opt_outs),
                },
                "measure": {"users": _whole(self.users)},
            }
        )

    def _goal_said(self) -> dict[str, Any]:
        if self.category.value:
            return {"category": self.category.value, "n_targets": _whole(self.n_targets)}
        if not self._items:
            raise InvalidInputError("choose a category, or search for items and add some")
        return {"items": list(self._items)}

    def _audience_said(self) -> dict[str, Any]:
        groups, without = _names(self.groups), _names(self.except_groups)
        who: dict[str, Any] = {"groups": groups} if groups else {"everybody": True}
        return who | ({"except_groups": without} if without else {})

    def _arms_said(self) -> list[dict[str, Any]]:
        arms = [{"name": "guided", "policy": self.policy.value or None}]
        if self.other.value != NONE:
            arms.append({"name": "guided otherwise", "policy": self.other.value or None})
        return arms

    async def _look(self) -> None:
        async def ask() -> GoalLook:
            said = self.said()
            return await self._session.ask(lambda client: client.look(said))

        await filled(self._told, ask, _show_look)

    async def _save(self) -> None:
        try:
            said = self.said()
            made = await self._session.ask(lambda client: client.create(said))
            await self._session.ask(lambda client: client.forecast(made.id))
        except ProactrecError as error:
            self._told.clear()
            with self._told:
                problem(error)
            return
        ui.navigate.to(f"/campaigns/{made.id}")


def _show_look(found: GoalLook) -> None:
    for warning in found.warnings:
        note(f"{words.headed(warning)}.")
    text(
        "p",
        f"{words.count(found.n_targets)} targets; the guide knows "
        f"{words.count(found.audience_known)} users of this audience.",
    )
    rows = [
        [one.item.title or one.item.item_id, words.percent(one.share_who_have_it), one.reason]
        for one in found.targets
    ]
    table("Targets, the first ones", ("Item", "#Users who have it", "Why"), rows)


def _number(field: Field) -> float | None:
    try:
        return field.number()
    except ValueError as error:
        raise InvalidInputError(f"{field.label!r} must be a number, got {field.value!r}") from error


def _whole(field: Field) -> int | None:
    found = _number(field)
    if found is not None and found != int(found):
        raise InvalidInputError(f"{field.label!r} must be a whole number, got {field.value!r}")
    return None if found is None else int(found)


def _names(field: Field) -> list[str]:
    return [one.strip() for one in field.value.split(",") if one.strip()]
