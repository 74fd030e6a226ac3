"""Care: whom and what nobody is guided to, and which users of guides were erased."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "care",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("said", TEXT, nullable=False),
        sa.Column("by", TEXT, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "version"),
    )
    op.create_table(
        "erased",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("guide", TEXT, nullable=False),
        sa.Column("guide_row", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "number"),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("erased")
    op.drop_table("care")
