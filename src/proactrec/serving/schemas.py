"""What goes over HTTP, said once for the routes, their description and the client.

Of a campaign itself see :mod:`proactrec.store.campaign`.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    WrapValidator,
)

from proactrec.config import NO_NUL, numbers_as_they_are
from proactrec.store.campaign import Campaign, Label, State
from proactrec.store.people import KINDS

MOST_BYTES = 1 << 20
"""Of a request's body."""
MOST_EVENTS, MOST_DECISIONS = 1000, 500
"""In one request."""
MOST_CANDIDATES, MOST_ITEMS, MOST_PAGE = 1000, 1000, 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2200, 1, 1, tzinfo=UTC)

Text = Annotated[str, Field(pattern=NO_NUL)]
"""Any but the sign that PostgreSQL can't keep."""
Id = Annotated[Text, Field(min_length=1, max_length=200)]
"""Of a user, an item, an event."""
Reason = Annotated[Text, Field(min_length=1, max_length=1000)]
"""Of a change: it is kept."""


def _within_reach(at: datetime) -> datetime:
    if not EPOCH <= at < LAST:
        raise ValueError(f"must be from {EPOCH:%Y} on and before {LAST:%Y}")
    return at


def _as_text(at: Any) -> Any:
    # A number, also as text, would be seconds, or milliseconds?
    if isinstance(at, int | float | bytes) or (isinstance(at, str) and ":" not in at):
        raise ValueError("must be a time by RFC 3339, with its time zone")
    return at


def _of_json(given: Any, read: Callable[[Any], Any]) -> Any:
    with numbers_as_they_are():
        return read(given)


OF_JSON = WrapValidator(_of_json)
"""Of options that come as a body: what is a number by the description, is none as text."""
Moment = Annotated[AwareDatetime, BeforeValidator(_as_text)]
"""RFC 3339, with its time zone."""
At = Annotated[Moment, AfterValidator(_within_reach)]
"""The same, within reach."""


def micros(at: datetime) -> int:
    """Microseconds of UTC since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1)


def moment(at: int) -> datetime:
    """The time that is so many microseconds after 1970."""
    return EPOCH + timedelta(microseconds=at)


class Schema(BaseModel):
    """The base: unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DecisionRequest(Schema):
    """What do I show this user next?"""

    user_id: Id
    campaign_id: Id | None = Field(None, description="only this campaign may guide the user")
    candidates: tuple[Id, ...] = Field(
        (),
        max_length=MOST_CANDIDATES,
        description="only these may be shown; the caller's own choice first",
    )
    at: At | None = Field(None, description="when it is shown; now by default")


class Decision(Schema):
    """What a user is shown."""

    decision_id: str | None = Field(
        description="to report what came of it; null if nothing could be kept of it"
    )
    item_id: str | None = Field(description="null: nothing is left to be shown")
    title: str | None
    guided: bool = Field(description="whether guidance chose the item")
    campaign_id: str | None
    arm: str | None
    target_id: str | None = Field(description="where the user is led")
    reason: str = Field(description="why this item, in words and figures")
    not_guided_because: str | None = Field(description="a code, see the list; null if guided")
    label: Label | None = Field(description="what must be said beside a guided item")
    probability: float = Field(description="with which the item was drawn")
    expires_at: datetime | None = Field(description="until when it may be shown")


class EventReport(Schema):
    """What a user did."""

    event_id: Id = Field(description="the caller's own: a repeated one is counted once")
    user_id: Id
    decision_id: Id | None = Field(None, description="of the decision that it answers")
    item_id: Id
    kind: str = Field(
        max_length=200,
        description=f"{', '.join(KINDS)}; an event of another kind is refused, others are taken",
    )
    at: At | None = Field(None, description="when it happened; now by default")


class RefusedEvent(Schema):
    """An event that can't be taken in, and why."""

    event_id: str
    why: str


class EventsTaken(Schema):
    """What became of the events of a request."""

    accepted: int
    repeated: int = Field(description="known before, with the same content")
    refused: tuple[RefusedEvent, ...]


class ConsentGiven(Schema):
    """Whether a user wants to be guided."""

    guided: StrictBool


class UserGroups(Schema):
    """The groups that a user is in."""

    groups: tuple[Id, ...] = Field(max_length=100)


class Item(Schema):
    """An item of the shop, as it is now."""

    item_id: Id
    title: Text = Field("", max_length=1000)
    categories: tuple[Id, ...] = Field((), max_length=100)
    text: Text = Field("", max_length=10_000, description="further words to know it by")
    available: StrictBool = Field(True, description="false: sold out, shown to nobody")


class ItemsTaken(Schema):
    """How many items are known now."""

    accepted: int


class CampaignChange(Schema):
    """What a campaign says from now on, all of it."""

    campaign: Annotated[Campaign, OF_JSON]
    reason: Reason
    version: StrictInt | None = Field(
        None, description="that it changes; refused if there is a newer one; any by default"
    )


class Why(Schema):
    """Why a campaign is paused or stopped."""

    reason: Reason


class Start(Schema):
    """How a campaign is started."""

    without_forecast: StrictBool = Field(
        False, description="start although nobody has seen what it is going to bring"
    )
    reason: Reason = "started"


class CampaignVersion(Schema):
    """A campaign as it is, or was."""

    id: str
    version: int
    state: State
    share: float = Field(description="of the audience that the ramp has reached")
    reason: str
    by: str
    at: datetime
    campaign: Campaign


class Campaigns(Schema):
    """In the order in which they have users' turns."""

    campaigns: tuple[CampaignVersion, ...]


class Versions(Schema):
    """Of a campaign, the first one first."""

    versions: tuple[CampaignVersion, ...]


class ArmCounts(Schema):
    """What happened in an arm so far."""

    users: int = 0
    decisions: int = 0
    guided: int = 0
    answered: int = 0
    accepted: int = 0
    targets_accepted: int = 0
    not_guided_because: dict[str, int] = Field(default_factory=dict)


class BudgetUsed(Schema):
    """Guided items that were offered and not given back; null where the budget has no limit."""

    total: int | None
    today: int | None


class Agreement(Schema):
    """How often an apprentice would have shown what the caller did."""

    decisions: int
    agreed: int


class CampaignNow(CampaignVersion):
    """A campaign with its counts."""

    forecast: str | None = Field(
        description="state of the forecast of what it says now; null: there is none"
    )
    arms: dict[str, ArmCounts]
    budget_used: BudgetUsed
    apprentice: Agreement | None
    counted_at: datetime = Field(
        description="when this was counted; of the budget: it is as of now, always"
    )


class Forecast(Schema):
    """What a campaign is going to bring, or how far that is known."""

    state: Literal["waiting", "working", "done", "failed"]
    result: dict[str, Any] | None = Field(None, description="while it is worked on: how far it is")
    error: str | None = None


class Journey(Schema):
    """One user on the way to one target."""

    user_id: str
    target_id: str
    arm: str
    rounds: int
    guided: int
    answered: int
    accepted: int
    target_accepted_in: int | None = Field(description="round in which it was")
    first_at: datetime
    last_at: datetime


class Journeys(Schema):
    """A page of journeys, whole users each."""

    journeys: tuple[Journey, ...]
    next: str | None = Field(description="give it as `after` to go on; null: that was all")


class PastDecision(Schema):
    """A decision as the log has it."""

    decision_id: str
    number: int
    campaign_id: str | None
    version: int | None
    arm: str | None
    target_id: str | None
    target_title: str | None
    item_id: str | None
    title: str | None
    guided: bool
    not_guided_because: str | None
    why: str = Field(description="why this item, in a sentence")
    among: tuple[str, ...] | None = Field(description="items among which was drawn, best first")
    knowledge: int = Field(description="version of what was known from everybody's answers")
    guide: str | None = Field(description="name of the guide that decided; null: it is not known")
    at: datetime
    expires_at: datetime
    reported: tuple[str, ...] = Field(description="kinds of the events that answer it")


class PastDecisions(Schema):
    """A page of a user's decisions, the newest first."""

    decisions: tuple[PastDecision, ...]
    next: int | None = Field(description="give it as `before` to go on; null: that was all")


class Health(Schema):
    """Whether an instance works."""

    status: Literal["ok", "not ready"]
    why: str | None = None


class WrongField(Schema):
    """A value that breaks a rule."""

    field: str
    message: str


class Problem(Schema):
    """What went wrong, by RFC 9457."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[WrongField, ...] = ()
