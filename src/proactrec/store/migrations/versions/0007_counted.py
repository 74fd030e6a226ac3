"""Counts of campaigns that take long, kept for whoever looks."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them; nothing was kept before."""
    op.create_table(
        "counted",
        *map(_text, ("tenant", "campaign_id", "what", "about", "counts")),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("took", "at")),
        sa.PrimaryKeyConstraint("tenant", "campaign_id", "what"),
    )


def downgrade() -> None:
    """Take them away; they can be counted again."""
    op.drop_table("counted")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)
