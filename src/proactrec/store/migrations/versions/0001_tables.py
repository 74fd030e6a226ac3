"""All tables of the first schema."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
OF_USERS = (
    "users",
    "consents",
    "memberships",
    "assignments",
    "journeys",
    "decisions",
    "events",
)
OTHERS = (
    "campaigns",
    "campaign_versions",
    "budgets",
    "leases",
    "items",
    "knowledge",
    "jobs",
    "keys",
    "audit",
)


def upgrade() -> None:
    """Make them."""
    _make_tables_of_users()
    _make_campaigns()
    _make_budgets()
    _make_what_is_learned()
    _make_what_runs_it()


def downgrade() -> None:
    """Drop them, those that refer to others first."""
    for name in reversed((*OF_USERS, *OTHERS)):
        op.drop_table(name)


def _make_tables_of_users() -> None:
    _of_users("users", _number("revision"), keys=())
    _of_users("consents", _number("number"), _number("guided"), _long("at"), keys=("number",))
    _of_users("memberships", _number("number"), _text("groups"), _long("at"), keys=("number",))
    _of_users("assignments", _text("campaign_id"), _text("arm"), _long("at"), keys=("campaign_id",))
    op.create_index("assignments_campaign", "assignments", ["tenant", "campaign_id"])
    _of_users(
        "journeys",
        *map(_text, ("campaign_id", "target_id", "arm")),
        *map(_number, ("n_rounds", "n_guided", "n_answered", "n_accepted", "accepted_in")),
        *map(_long, ("first_at", "last_at")),
        keys=("campaign_id", "target_id"),
    )
    op.create_index("journeys_campaign", "journeys", ["tenant", "campaign_id"])
    _make_decisions()
    _of_users(
        "events",
        _text("event_id"),
        _number("decision"),
        *map(_text, ("item_id", "kind")),
        *map(_long, ("at", "received_at")),
        keys=("event_id",),
    )
    op.create_index("events_received", "events", ["received_at"])


def _make_decisions() -> None:
    _of_users(
        "decisions",
        _number("number"),
        sa.Column("seq", sa.BigInteger, sa.Identity(always=False), nullable=False),
        _text("campaign_id"),
        _number("version"),
        *map(_text, ("arm", "target_id", "item_id", "plain_id", "proposed_id")),
        _number("guided"),
        *map(_text, ("reason", "not_guided_because")),
        _text("among", null=True),
        _number("knowledge"),
        *map(_long, ("at", "expires_at", "closes_at")),
        _text("request_key", null=True),
        keys=("number",),
    )
    once = ["tenant", "user_id", "request_key"]
    op.create_index("decisions_request", "decisions", once, unique=True)
    op.create_index("decisions_seq", "decisions", ["seq"])
    op.create_index("decisions_campaign", "decisions", ["tenant", "campaign_id", "at"])


def _make_campaigns() -> None:
    op.create_table(
        "campaigns",
        *map(_text, ("tenant", "campaign_id")),
        _number("version"),
        _long("made_at"),
        _text("request_key", null=True),
        sa.PrimaryKeyConstraint("tenant", "campaign_id"),
    )
    op.create_index("campaigns_request", "campaigns", ["tenant", "request_key"], unique=True)
    op.create_table(
        "campaign_versions",
        *map(_text, ("tenant", "campaign_id")),
        _number("version"),
        *map(_text, ("state", "said")),
        _number("ramp_step"),
        *map(_text, ("reason", "by")),
        _long("at"),
        sa.PrimaryKeyConstraint("tenant", "campaign_id", "version"),
        sa.ForeignKeyConstraint(
            ("tenant", "campaign_id"), ("campaigns.tenant", "campaigns.campaign_id")
        ),
    )


def _make_budgets() -> None:
    limit = ("tenant", "campaign_id", "scope", "period")
    op.create_table("budgets", *map(_text, limit), _long("used"), sa.PrimaryKeyConstraint(*limit))
    op.create_table(
        "leases",
        *map(_text, (*limit, "holder")),
        *map(_long, ("granted", "used", "expires_at")),
        sa.PrimaryKeyConstraint(*limit, "holder"),
    )


def _make_what_is_learned() -> None:
    op.create_table(
        "items",
        *map(_text, ("tenant", "item_id", "title", "categories", "text")),
        _number("available"),
        _long("revision"),
        sa.PrimaryKeyConstraint("tenant", "item_id"),
    )
    op.create_index("items_revision", "items", ["tenant", "revision"])
    op.create_table(
        "knowledge",
        *map(_text, ("tenant", "guide")),
        *map(_number, ("version", "parent")),
        *map(_long, ("after_seq", "up_to_seq")),
        _text("evidence"),
        _long("n_answers"),
        sa.Column("tensors", sa.LargeBinary, nullable=False),
        _long("at"),
        sa.PrimaryKeyConstraint("tenant", "guide", "version"),
    )


def _make_what_runs_it() -> None:
    op.create_table(
        "jobs",
        *map(_text, ("tenant", "job_id", "kind", "about", "given", "state")),
        _text("worker", null=True),
        _long("leased_until", null=True),
        _number("n_tries"),
        _text("result", null=True),
        _text("error", null=True),
        _long("made_at"),
        _long("ended_at", null=True),
        sa.PrimaryKeyConstraint("tenant", "job_id"),
    )
    op.create_index("jobs_about", "jobs", ["tenant", "about"])
    is_open = sa.text("state IN ('waiting', 'working')")
    op.create_index(
        "jobs_open",
        "jobs",
        ["tenant", "about"],
        unique=True,
        postgresql_where=is_open,
        sqlite_where=is_open,
    )
    op.create_table(
        "keys",
        *map(_text, ("key_id", "tenant", "scope", "hash")),
        _long("made_at"),
        _long("revoked_at", null=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "audit",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        _text("tenant"),
        _long("at"),
        *map(_text, ("by", "what", "about", "detail")),
    )
    op.create_index("audit_about", "audit", ["tenant", "about"])


def _of_users(name: str, *columns: sa.Column[Any], keys: tuple[str, ...]) -> None:
    """A table of users; on PostgreSQL in as many partitions as were asked for."""
    n = op.get_context().config.attributes.get("partitions", 0)  # type: ignore[union-attr]
    is_parted = n > 0 and op.get_bind().dialect.name == "postgresql"
    op.create_table(
        name,
        *map(_text, ("tenant", "user_id")),
        *columns,
        sa.PrimaryKeyConstraint("tenant", "user_id", *keys),
        postgresql_partition_by="HASH (tenant, user_id)" if is_parted else None,
    )
    for part in range(n if is_parted else 0):
        values = f"WITH (MODULUS {n}, REMAINDER {part})"
        op.execute(f"CREATE TABLE {name}_{part} PARTITION OF {name} FOR VALUES {values}")


def _text(name: str, *, null: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=null)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _long(name: str, *, null: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=null)
