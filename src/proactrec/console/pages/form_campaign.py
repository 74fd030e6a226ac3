"""Fields of all that a campaign says: the few that everybody needs first, the others folded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from proactrec.config import merged
from proactrec.console import words
from proactrec.console.elements import Check, Field, attributes, box, button, note, text
from proactrec.console.frame import filled
from proactrec.console.pages.form_goal import GoalFields
from proactrec.console.pages.form_values import (
    FieldError,
    counted,
    filled_in,
    in_percent,
    names,
    needed_share,
    read,
    share,
    whole,
)
from proactrec.console.sessions import Session
from proactrec.serving.looking import CategorySeen, UsersNeeded
from proactrec.serving.studies import PolicySeen
from proactrec.store.campaign import (
    Arm,
    Budget,
    Campaign,
    CampaignRails,
    Goal,
    Guardrails,
    time_zones,
)

NONE = "-"
RAMPS = {
    "1": "the whole audience at once",
    "0.05, 0.25, 1": "5 %, 25 %, then all",
    "0.01, 0.05, 0.25, 1": "1 %, 5 %, 25 %, then all",
}


def beginning(categories: Sequence[CategorySeen], time_zone: str) -> Campaign:
    """What a campaign says before anybody has said anything; no valid one, as it has no name."""
    first = next((one.name for one in categories if one.available), None)
    return Campaign.model_construct(
        name="",
        goal=Goal.model_construct(category=first, n_targets=20),
        rails=CampaignRails(daily_cap=2),
        budget=Budget(time_zone=time_zone),
        guardrails=Guardrails(acceptance=0.1, opt_outs=0.02),
    )


@contextmanager
def folded(summary: str) -> Iterator[None]:
    """Fields that few need, behind a line that says what they are about."""
    with box("details"):
        text("summary", summary)
        with box("div", "fields"):
            yield


class Form:
    """All that is asked of whoever makes a campaign.

    Parameters
    ----------
    session : Session
    given : Campaign
        What it says at first; what there is no field for stays as it is.
    titles : mapping of str
        Of the items of its goal, by id.
    categories : sequence of CategorySeen
    policies : sequence of PolicySeen
    """

    def __init__(
        self,
        session: Session,
        given: Campaign,
        titles: Mapping[str, str],
        categories: Sequence[CategorySeen],
        policies: Sequence[PolicySeen],
    ) -> None:
        self._session, self._given = session, given
        with box("fieldset"):
            text("legend", "Where it leads")
            self._name = Field("Name of the campaign", given.name, required=True, maxlength="200")
            self._goal = GoalFields(session, categories, given.goal, titles)
        self._who()
        with folded("Is the audience large enough?"):
            self._size()
        with folded("How it is guided"):
            self._ways([one.name for one in policies])
        with folded("More limits"):
            self._limits()
        with folded("How it grows, and when it stops by itself"):
            self._care()
        with folded("What is said beside guided items"):
            self._label()

    def _who(self) -> None:
        given, users = self._given.audience, self._given.audience.users
        rest = f"the {words.count(len(users))} users named by id" if users else "everybody who asks"
        of_all = self._given.rails.daily_cap_counts == "all"
        with box("fieldset"):
            text("legend", "Who takes part")
            self._groups = Field(
                "Only users of these groups",
                ", ".join(given.groups),
                hint=f"Names with commas between them; empty: {rest}.",
            )
            self._except_groups = Field(
                "Never users of these groups",
                ", ".join(given.except_groups),
                hint="For example: minors.",
            )
            self._hold_out = Field(
                "Users who are held out, %",
                in_percent(self._given.hold_out),
                kind="number",
                hint=words.TERMS["hold-out"],
                min="0",
                max="99",
                step="any",
            )
            self._daily_cap = Field(
                "Guided items a user sees a day, at most",
                counted(self._given.rails.daily_cap),
                kind="number",
                hint=f"Over {'all campaigns' if of_all else 'this campaign alone'}; "
                "empty: as many as there are.",
                min="1",
            )

    def _size(self) -> None:
        text("p", "A rise from 5 % to 7 % is one of 2 points.", "hint")
        with box("div", "row-of"):
            self._rate = Field(
                "Users who take a target without guidance, %",
                "5",
                kind="number",
                min="0",
                max="100",
                step="any",
            )
            self._effect = Field(
                "Rise you want to be able to see, points",
                "2",
                kind="number",
                min="0.01",
                max="100",
                step="any",
            )
            button("How many users?", self._reckon, "second")
        self._needed = attributes(box(), aria_live="polite")
        self._users = Field(
            "Users measured at the planned end",
            counted(self._given.measure.users),
            kind="number",
            hint="Decided before anybody looks; empty: open-ended, with wider intervals.",
            min="1",
        )

    async def _reckon(self) -> None:
        planned = read(self._planned, self._needed)
        if planned is None:
            return

        async def ask() -> UsersNeeded:
            return await self._session.ask(lambda client: client.power(**planned))

        def show(found: UsersNeeded) -> None:
            rise = f"{words.percent(found.rate)} to {words.percent(found.rate + found.effect)}"
            note(
                f"{words.count(found.users)} users, those held out included, show a rise from "
                f"{rise} in 4 of 5 cases.",
                "good",
            )

        await filled(self._needed, ask, show)

    def _planned(self) -> dict[str, float]:
        fields = {"effect": self._effect, "rate": self._rate, "hold_out": self._hold_out}
        found = {name: needed_share(field) for name, field in fields.items()}
        if not found["hold_out"]:
            raise FieldError(self._hold_out, "must be more than 0: nothing is seen otherwise")
        if found["rate"] + found["effect"] > 1:
            raise FieldError(self._effect, "must not lead beyond 100 %")
        return found

    def _ways(self, policies: Sequence[str]) -> None:
        arms = self._given.arms
        given = [one.policy or "" for one in arms]
        choices = {"": "the guide's own", **{one: one for one in (*policies, *given) if one}}
        shares = "All have equally many users."
        if arms[0].share is not None:
            told = ", ".join(f"{one.name} {words.percent(one.share)}" for one in arms)
            shares = f"Shares of users: {told}; equal ones if the number of arms changes."
        if len(arms) > 2:
            shares += f" {', '.join(one.name for one in arms[2:])}: stays as it is."
        self._policy = Field("Policy", given[0], choices=choices, hint="What chooses the steps.")
        self._other = Field(
            "A second one, to compare with",
            given[1] if len(given) > 1 else NONE,
            choices={NONE: "none", **choices},
            hint=f"{words.TERMS['arm']} {shares}",
        )
        text("p", "Policies are told and compared on the pages Policies and Worlds.", "hint")

    def _limits(self) -> None:
        rails, budget = self._given.rails, self._given.budget
        text("p", words.TERMS["rails"] + " What each costs is measured with the forecast.")
        self._item_cap = Field(
            "Times an item is guided to a day, at most",
            counted(rails.item_cap_per_day),
            kind="number",
            hint="Over all users.",
            min="1",
        )
        self._acceptance_floor = Field(
            "Least chance of being accepted, %",
            in_percent(rails.acceptance_floor),
            kind="number",
            hint="As it is foretold.",
            min="0.01",
            max="99.99",
            step="any",
        )
        self._plain_share = Field(
            "Rounds that stay free of guidance, at least, %",
            in_percent(rails.plain_share or None),
            kind="number",
            min="0",
            max="100",
            step="any",
        )
        self._pause_after = Field(
            "Refusals in a row after which it pauses",
            counted(rails.pause_after),
            kind="number",
            hint="For one user.",
            min="1",
        )
        self._total = Field(
            "Guided items in all, at most", counted(budget.total), kind="number", min="0"
        )
        self._per_day = Field(
            "Guided items a day, at most", counted(budget.per_day), kind="number", min="0"
        )
        self._time_zone = Field("Time zone of days", budget.time_zone)

    def _care(self) -> None:
        ramp, guardrails = self._given.ramp, self._given.guardrails
        steps = ", ".join(f"{one:.10g}" for one in ramp.steps)
        own = f"{', '.join(words.percent(one) for one in ramp.steps)} of the audience"
        self._ramp = Field(
            "How it grows",
            steps,
            choices={steps: own, **RAMPS},
            hint=f"{words.TERMS['ramp']} A step lasts {ramp.hold_hours:g} hours at least.",
        )
        self._acceptance = Field(
            "Stops by itself if acceptance falls by more than, points",
            in_percent(guardrails.acceptance),
            kind="number",
            hint="Credibly, against who is held out; empty: never.",
            min="0",
            max="100",
            step="any",
        )
        self._opt_outs = Field(
            "Stops by itself if more users opt out or complain, points",
            in_percent(guardrails.opt_outs),
            kind="number",
            hint="The same; empty: never.",
            min="0",
            max="100",
            step="any",
        )

    def _label(self) -> None:
        label = self._given.label
        self._promoted = Check(
            "Mark guided items as promoted", value=label.promoted, hint=words.TERMS["promoted"]
        )
        self._on_behalf_of = Field(
            "On behalf of", label.on_behalf_of or "", hint="Who wants it, or pays for it."
        )

    def said(self) -> Campaign:
        """The campaign.

        Raises
        ------
        InvalidInputError
            If it breaks a rule.
        """
        said = {
            "name": filled_in(self._name),
            "goal": self._goal.said(),
            "audience": self._audience_said(),
            "arms": self._arms_said(),
            "hold_out": needed_share(self._hold_out),
            "rails": self._rails_said(),
            "budget": self._budget_said(),
            "label": {
                "promoted": self._promoted.value,
                "on_behalf_of": self._on_behalf_of.value.strip() or None,
            },
            "ramp": {"steps": [float(one) for one in self._ramp.value.split(",")]},
            "guardrails": {
                "acceptance": share(self._acceptance),
                "opt_outs": share(self._opt_outs),
            },
            "measure": {"users": whole(self._users)},
        }
        return Campaign(**merged(self._given.model_dump(), said))

    def _audience_said(self) -> dict[str, Any]:
        groups = names(self._groups)
        return {
            "everybody": not groups and not self._given.audience.users,
            "groups": groups,
            "except_groups": names(self._except_groups),
        }

    def _arms_said(self) -> list[Arm]:
        given = self._given.arms
        arms = [given[0].model_copy(update={"policy": self._policy.value or None})]
        if self._other.value != NONE:
            second = given[1] if len(given) > 1 else Arm(name="guided otherwise")
            arms.append(second.model_copy(update={"policy": self._other.value or None}))
        arms += given[2:]
        if len(arms) != len(given):  # their shares would not sum to 1
            arms = [one.model_copy(update={"share": None}) for one in arms]
        return arms

    def _rails_said(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "daily_cap": whole(self._daily_cap),
            "item_cap_per_day": whole(self._item_cap),
            "acceptance_floor": share(self._acceptance_floor),
            "plain_share": share(self._plain_share) or 0.0,
            "pause_after": whole(self._pause_after),
        }
        if said["pause_after"] is None:  # how long a pause lasts means nothing without one
            said["pause_rounds"] = CampaignRails().pause_rounds
        return said

    def _budget_said(self) -> dict[str, Any]:
        zone, per_day = filled_in(self._time_zone), whole(self._per_day)
        if zone not in time_zones():
            raise FieldError(self._time_zone, f"must be a name like Europe/Berlin, got {zone!r}")
        said = {"total": whole(self._total), "per_day": per_day, "time_zone": zone}
        return said if per_day is not None else {**said, "pacing": "asap"}
