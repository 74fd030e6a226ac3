"""The tables of a store. Of users, every key begins with (tenant, user): shards split there.

`decisions`, `events`, `consents`, `memberships` and `campaign_versions` are the log, which only
grows, but for the erasure of users. `users`, `assignments`, `journeys` and `budgets.used` follow
from it and can be made again.
Times are microseconds of UTC since 1970; nothing that can be computed is stored as a float.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.types import TypeEngine

METADATA = MetaData()
TEXT = Text().with_variant(Text(collation="C"), "postgresql")
"""In the order of code points on both databases, as Python sorts: locks are taken in it."""


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, TEXT, nullable=null)


def _number(name: str, kind: type[TypeEngine[int]] = Integer, *, null: bool = False) -> Column[int]:
    return Column(name, kind, nullable=null)


def _time(name: str, *, null: bool = False) -> Column[int]:
    return _number(name, BigInteger, null=null)


USERS = Table(
    "users",
    METADATA,
    _text("tenant"),
    _text("user_id"),
    _number("revision"),  # rows of the log that are the user's
    _time("due_at", null=True),  # when the first decision must be settled that is waited for
    PrimaryKeyConstraint("tenant", "user_id"),
    Index("users_due", "due_at"),
)
CONSENTS = Table(
    "consents",
    METADATA,
    _text("tenant"),
    _text("user_id"),
    _number("number"),  # of the user's, from 1: the last one holds
    _number("guided"),
    _time("at"),
    PrimaryKeyConstraint("tenant", "user_id", "number"),
)
MEMBERSHIPS = Table(
    "memberships",
    METADATA,
    _text("tenant"),
    _text("user_id"),
    _number("number"),  # likewise
    _text("groups"),  # JSON
    _time("at"),
    PrimaryKeyConstraint("tenant", "user_id", "number"),
)
CAMPAIGNS = Table(
    "campaigns",
    METADATA,
    _text("tenant"),
    _text("campaign_id"),
    _number("version"),
    _time("made_at"),
    _text("request_key", null=True),
    PrimaryKeyConstraint("tenant", "campaign_id"),
    Index("campaigns_request", "tenant", "request_key", unique=True),
)
CAMPAIGN_VERSIONS = Table(
    "campaign_versions",
    METADATA,
    _text("tenant"),
    _text("campaign_id"),
    _number("version"),
    _text("state"),
    _text("said"),  # JSON of the Campaign
    _number("ramp_step"),
    _text("reason"),
    _text("by"),
    _time("at"),
    PrimaryKeyConstraint("tenant", "campaign_id", "version"),
    ForeignKeyConstraint(("tenant", "campaign_id"), ("campaigns.tenant", "campaigns.campaign_id")),
)
ASSIGNMENTS = Table(
    "assignments",
    METADATA,
    _text("tenant"),
    _text("user_id"),
    _text("campaign_id"),
    _text("arm"),
    _time("at"),  # of the first decision
    PrimaryKeyConstraint("tenant", "user_id", "campaign_id"),
    Index("assignments_campaign", "tenant", "campaign_id"),
)
JOURNEYS = Table(
    "journeys",
    METADATA,
    _text("tenant"),
    _text("user_id"),
    _text("campaign_id"),
    _text("target_id"),
    _text("arm"),
    _number("n_rounds"),
    _number("n_guided"),
    _number("n_answered"),
    _number("n_accepted"),
    _number("accepted_in"),  # round in which the target was; 0: not yet
    _time("first_at"),
    _time("last_at"),
    PrimaryKeyConstraint("tenant", "user_id", "campaign_id", "target_id"),
    Index("journeys_campaign", "tenant", "campaign_id"),
)
DECISIONS = Table(
    "decisions",
    METADATA,
    _text("tenant"),
    _text("user_id"),
    _number("number"),  # of the user's, from 1
    Column("seq", BigInteger, Identity(always=False), nullable=False),
    _text("campaign_id"),  # "": of none
    _number("version"),
    _text("arm"),
    _text("target_id"),
    _text("item_id"),  # "": nothing was left to be shown
    _text("plain_id"),  # what would have been shown without guidance
    _text("proposed_id"),  # what an apprentice would have shown
    _number("guided"),
    _text("reason"),
    _text("not_guided_because"),
    _text("among", null=True),  # JSON: items that might have been shown, best first
    _number("knowledge"),
    _time("at"),
    _time("expires_at"),
    _time("closes_at"),  # no answer by then is a skip
    _text("request_key", null=True),
    _text("guide", null=True),  # name of the one that decided; null: of before it was kept
    PrimaryKeyConstraint("tenant", "user_id", "number"),
    Index("decisions_request", "tenant", "user_id", "request_key", unique=True),
    Index("decisions_seq", "seq"),
    Index("decisions_campaign", "tenant", "campaign_id", "at"),
)
EVENTS = Table(
    "events",
    METADATA,
    _text("tenant"),
    _text("user_id"),
    _text("event_id"),
    _number("decision"),  # number of the user's decision; 0: of none
    _text("item_id"),
    _text("kind"),
    _time("at"),
    _time("received_at"),
    PrimaryKeyConstraint("tenant", "user_id", "event_id"),
    Index("events_received", "received_at"),
)
BUDGETS = Table(
    "budgets",
    METADATA,
    _text("tenant"),
    _text("campaign_id"),
    _text("scope"),  # all, or item:ID
    _text("period"),  # total, or a day
    _number("used", BigInteger),
    PrimaryKeyConstraint("tenant", "campaign_id", "scope", "period"),
)
LEASES = Table(
    "leases",
    METADATA,
    _text("tenant"),
    _text("campaign_id"),
    _text("scope"),
    _text("period"),
    _text("holder"),  # an instance; its number fences off who held it before
    _number("granted", BigInteger),
    _number("used", BigInteger),
    _time("expires_at"),
    PrimaryKeyConstraint("tenant", "campaign_id", "scope", "period", "holder"),
)
ITEMS = Table(
    "items",
    METADATA,
    _text("tenant"),
    _text("item_id"),
    _text("title"),
    _text("categories"),  # JSON
    _text("text"),
    _number("available"),
    _number("revision", BigInteger),  # of the catalogue, when the item was said last
    PrimaryKeyConstraint("tenant", "item_id"),
    Index("items_revision", "tenant", "revision"),
)
KNOWLEDGE = Table(
    "knowledge",
    METADATA,
    _text("tenant"),
    _text("guide"),
    _number("version"),
    _number("parent"),  # version that it goes on from
    _number("after_seq", BigInteger),  # learned from decisions behind this one
    _number("up_to_seq", BigInteger),  # to this one
    _text("evidence"),  # digest of the answers
    _number("n_answers", BigInteger),
    Column("tensors", LargeBinary, nullable=False),  # safetensors
    _time("at"),
    _number("restores", null=True),  # version whose tensors it took again; NULL: it was learned
    PrimaryKeyConstraint("tenant", "guide", "version"),
)
WATCHES = Table(
    "watches",
    METADATA,
    _text("tenant"),
    _text("guide"),
    _text("said"),  # JSON of the Watch
    _number("up_to_seq", BigInteger),  # answers to these decisions were looked at
    _text("variety"),  # JSON: of the newest guided items
    PrimaryKeyConstraint("tenant", "guide"),
)
WATCHED = Table(
    "watched",
    METADATA,
    _text("tenant"),
    _text("guide"),
    _number("version"),  # of knowledge; 0: what the guide was saved with
    _text("sums"),  # JSON: what was foretold with it, and what came
    _text("alarm"),  # a sentence; empty: none
    PrimaryKeyConstraint("tenant", "guide", "version"),
)
JOBS = Table(
    "jobs",
    METADATA,
    _text("tenant"),
    _text("job_id"),
    _text("kind"),
    _text("about"),  # what it is of, e.g. a campaign and its version
    _text("given"),  # JSON
    _text("state"),  # waiting, working, done, failed
    _text("worker", null=True),
    _time("leased_until", null=True),  # of one that has ended: when its tenant's turn was
    _number("n_tries"),
    _text("result", null=True),  # JSON
    _text("error", null=True),
    _time("made_at"),
    _time("ended_at", null=True),
    PrimaryKeyConstraint("tenant", "job_id"),
    Index("jobs_about", "tenant", "about"),
)
IS_OPEN = JOBS.c.state.in_(("waiting", "working"))
Index(
    "jobs_open",
    JOBS.c.tenant,
    JOBS.c.about,
    unique=True,
    postgresql_where=IS_OPEN,
    sqlite_where=IS_OPEN,
)
KEYS = Table(
    "keys",
    METADATA,
    _text("key_id"),
    _text("tenant"),
    _text("scope"),
    _text("hash"),
    _time("made_at"),
    _time("revoked_at", null=True),
    _time("expires_at", null=True),
    _text("name", null=True),
    _text("trace", null=True),  # of the secret: too little to find it, enough to refuse others
    PrimaryKeyConstraint("key_id"),
)
AUDIT = Table(
    "audit",
    METADATA,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    _text("tenant"),
    _time("at"),
    _text("by"),
    _text("what"),
    _text("about"),
    _text("detail"),  # JSON
    Index("audit_about", "tenant", "about"),
)
CARE = Table(
    "care",
    METADATA,
    _text("tenant"),
    _number("version"),  # from 1: the last one holds
    _text("said"),  # JSON of the Care
    _text("by"),
    _time("at"),
    PrimaryKeyConstraint("tenant", "version"),
)
COUNTED = Table(
    "counted",
    METADATA,
    _text("tenant"),
    _text("campaign_id"),
    _text("what"),
    _text("about"),  # what the campaign said that decides it
    _text("counts"),  # JSON: sums, of nobody
    _time("took"),
    _time("at"),
    PrimaryKeyConstraint("tenant", "campaign_id", "what"),
)
ERASED = Table(
    "erased",
    METADATA,
    _text("tenant"),
    _number("number"),  # from 1: memory from before the last one is out of date
    _text("guide"),  # that knows the user; "": none
    _number("guide_row"),  # of the user among those it knows
    PrimaryKeyConstraint("tenant", "number"),
)
