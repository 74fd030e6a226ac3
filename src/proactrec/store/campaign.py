"""What a provider asks for: a campaign's goal, audience, arms, rails, budget and care."""

from functools import cache
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, StrictBool, field_validator, model_validator

from proactrec.config import Options
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.guidance.rails import RailsOptions
from proactrec.policies.exploring_options import ExploringOptions
from proactrec.worth import Worth

HOLD_OUT = "hold-out"
"""Name of the arm that is not guided: what would have been without the campaign."""
MOST_GROUPS, MOST_ARMS = 10_000, 50
MOST_HOURS, MOST_SECONDS = 24 * 3650, 86_400 * 365
"""Ten years; a year."""
OF_ROUNDS = (
    "item_cap_per_round",
    "rounds_per_day",
    "guided_pairs",
    "equal_groups",
    "opt_out",
    "opt_out_share",
)
"""Rails of simulated rounds; real days, budgets and consents take their place."""

State = Literal["draft", "running", "paused", "finished", "stopped"]
GOES_TO: dict[State, tuple[State, ...]] = {
    "draft": ("running", "stopped"),
    "running": ("paused", "finished", "stopped"),
    "paused": ("running", "finished", "stopped"),
    "finished": (),
    "stopped": (),
}
"""What may become of a campaign."""


@cache
def time_zones() -> frozenset[str]:
    """The IANA list as this machine has it, which lies in hundreds of files: read once."""
    return frozenset(available_timezones())


class Goal(Options):
    """Where users are led: to items, or to the item of a category that suits each best."""

    items: tuple[str, ...] = Field((), description="ids of target items")
    category: str | None = Field(None, description="a category; every user gets one of its items")
    n_targets: int | None = Field(
        None, ge=1, description="most items of the category that are targets, most relevant first"
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.items) == (self.category is not None):
            raise InvalidInputError("goal needs items or category, one of them")
        if self.n_targets is not None and self.category is None:
            raise InvalidInputError("goal.n_targets needs goal.category, got None")
        return self


class Audience(Options):
    """Who takes part; of several conditions all must hold."""

    everybody: StrictBool = Field(False, description="everybody who asks")
    users: tuple[str, ...] = Field((), description="ids of users")
    groups: tuple[str, ...] = Field(
        (), max_length=MOST_GROUPS, description="names of groups, of which a user is in one"
    )
    except_groups: tuple[str, ...] = Field(
        (),
        max_length=MOST_GROUPS,
        description="names of groups whose users are not guided, whoever else is meant",
    )
    least_items: int = Field(0, ge=0, description="least number of items that a user has")
    most_items: int | None = Field(None, ge=0, description="most of them")

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.everybody == bool(self.users or self.groups):
            raise InvalidInputError("audience needs everybody: true, or users or groups")
        return self


class Arm(Options):
    """One way of guiding, to which a share of the audience is assigned."""

    name: str = Field(min_length=1, max_length=100)
    policy: str | None = Field(None, description="name of a policy; the guide's own by default")
    share: float | None = Field(
        None, gt=0, le=1, description="of those who are not held out; equal shares by default"
    )

    @field_validator("name")
    @classmethod
    def _not_the_hold_out(cls, name: str) -> str:
        if name == HOLD_OUT:
            raise InvalidInputError(f"arms.name can't be {HOLD_OUT!r}: say hold_out instead")
        return name


class CampaignRails(RailsOptions):
    """Rails of real users: those of a journey, and caps by calendar day."""

    daily_cap: int | None = Field(
        None, ge=1, description="most guided items of a user in a calendar day"
    )
    daily_cap_counts: Literal["campaign", "all"] = Field(
        "all", description="whether guided items of other campaigns count toward daily_cap"
    )
    item_cap_per_day: int | None = Field(
        None, ge=1, description="most times a day that one item is a guided one, over all users"
    )

    @model_validator(mode="after")
    def _no_half_rail(self) -> Self:
        defaults = type(self).model_fields
        for name in OF_ROUNDS:
            if getattr(self, name) != defaults[name].default:
                raise InvalidInputError(
                    f"rails.{name} is of simulated rounds: campaigns count by days and budgets"
                )
        return self

    @property
    def of_journey(self) -> RailsOptions:
        """Those that are a function of one journey."""
        spanning = {"daily_cap", "daily_cap_counts", "item_cap_total", "item_cap_per_day"}
        return RailsOptions(**self.model_dump(exclude=spanning))


class Budget(Options):
    """How many guided items may be offered, and how fast."""

    total: int | None = Field(None, ge=0, description="guided items in all")
    per_day: int | None = Field(None, ge=0, description="guided items in a calendar day")
    pacing: Literal["asap", "even"] = Field(
        "asap", description="as soon as possible, or evenly over each day"
    )
    time_zone: str = Field("UTC", description="of calendar days, e.g. Europe/Berlin")

    @field_validator("time_zone")
    @classmethod
    def _a_zone(cls, name: str) -> str:
        if name not in time_zones():
            raise InvalidInputError(f"budget.time_zone must be of the IANA list, got {name!r}")
        return name

    @model_validator(mode="after")
    def _even_needs_a_day(self) -> Self:
        if self.pacing == "even" and self.per_day is None:
            raise InvalidInputError("budget.pacing even needs budget.per_day, got None")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """Of calendar days."""
        return ZoneInfo(self.time_zone)


class Ramp(Options):
    """How a campaign grows to its whole audience."""

    steps: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (1.0,), min_length=1, description="shares of the audience, e.g. 0.01, 0.05, 0.25, 1"
    )
    hold_hours: float = Field(24, ge=0, le=MOST_HOURS, description="least time of a step")
    least_users: int = Field(
        100, ge=0, description="least number of users of a step whose first answers are known"
    )

    @model_validator(mode="after")
    def _upward(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise InvalidInputError(f"ramp.steps must increase, got {self.steps}")
        return self


class Guardrails(Options):
    """When a campaign stops by itself: guided users are credibly worse off than those held out."""

    acceptance: float | None = Field(
        None, ge=0, le=1, description="most acceptance lost that is borne"
    )
    opt_outs: float | None = Field(
        None, ge=0, le=1, description="most users more who opt out or complain"
    )
    errors: float | None = Field(None, gt=0, le=1, description="most guided items never shown")
    alpha: float = Field(0.01, gt=0, lt=0.5, description="chance of a false alarm, at any time")
    first_answers: int = Field(
        3, ge=1, description="answers of a user that are looked at, the first ones"
    )


class Measure(Options):
    """What a campaign is judged by, said before anybody looks."""

    metric: Literal["target", "target_share", "taken", "purchases", "objections", "acceptance"] = (
        Field("target", description="the figure by which it is decided; others are told beside it")
    )
    window_hours: float = Field(
        168,
        gt=0,
        le=MOST_HOURS,
        description="how long a user is looked at from the first decision on",
    )
    users: int | None = Field(
        None, ge=1, description="users who are measured at the planned end; open by default"
    )
    segments: tuple[str, ...] = Field((), description="groups of users that are looked at apart")


class Label(Options):
    """What a shop must say beside a guided item."""

    promoted: StrictBool = Field(True, description="whether it is marked as promoted")
    on_behalf_of: str | None = Field(None, description="who wants it, or pays for it")


def named_label(given: object) -> object:
    """A label by whose behalf alone."""
    return {"on_behalf_of": given} if isinstance(given, str) else given


def named_worth(given: object) -> object:
    """Worth by its name, see :attr:`proactrec.worth.Worth.named`."""
    if not isinstance(given, str):
        return given
    if given not in Worth.named:
        raise InvalidInputError(f"worth must be one of {', '.join(Worth.named)}, got {given!r}")
    return Worth.named[given]


class Campaign(Options):
    """All that a provider says of a campaign."""

    name: str = Field(min_length=1, max_length=200)
    goal: Goal
    audience: Audience = Audience(everybody=True)
    arms: tuple[Arm, ...] = Field((Arm(name="guided"),), min_length=1, max_length=MOST_ARMS)
    hold_out: float = Field(
        0.1, ge=0, lt=1, description="share of the audience that is never guided, to compare with"
    )
    hold_out_sees: Literal["plain", "others"] = Field(
        "plain",
        description="whether other campaigns may guide who is held out, after the first decision",
    )
    rails: CampaignRails = CampaignRails()
    rounds: int | None = Field(
        None, ge=1, description="most rounds of a journey; open-ended by default"
    )
    worth: Annotated[Worth, BeforeValidator(named_worth)] | None = Field(
        None, description="of targets and rounds; the guide's own by default"
    )
    budget: Budget = Budget()
    label: Annotated[Label, BeforeValidator(named_label)] = Label()
    explore: ExploringOptions = ExploringOptions()
    ramp: Ramp = Ramp()
    guardrails: Guardrails = Guardrails()
    measure: Measure = Measure()
    priority: int = Field(
        0, description="higher ones have a user's turn first, then those made first"
    )
    apprentice: StrictBool = Field(
        False, description="decide and log, but return what the caller would have shown"
    )
    offer_seconds: int = Field(
        3600,
        ge=1,
        le=MOST_SECONDS,
        description="how long an item may be shown after it was decided",
    )
    answer_seconds: int = Field(
        86_400,
        ge=1,
        le=MOST_SECONDS,
        description="how long after that an answer is waited for; none is a skip",
    )

    @model_validator(mode="after")
    def _arms_that_fit(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise InvalidInputError(f"arms must have names of their own, got {', '.join(names)}")
        given = [arm.share for arm in self.arms if arm.share is not None]
        if given and (len(given) < len(names) or abs(sum(given) - 1) > 1e-9):
            raise InvalidInputError(f"arms.share must be given for all and sum to 1, got {given}")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Share of the audience by arm, the hold-out first."""
        equal = 1 / len(self.arms)
        rest = {arm.name: (arm.share or equal) * (1 - self.hold_out) for arm in self.arms}
        return {HOLD_OUT: self.hold_out, **rest}

    def arm(self, name: str) -> Arm:
        """The arm of this name.

        Raises
        ------
        UnknownIdError
            If there is none.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise UnknownIdError(f"there is no arm {name!r}")
