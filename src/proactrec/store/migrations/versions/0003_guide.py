"""Decisions name the guide that made them, as a service may change from one to another."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the column; of earlier decisions it is not known."""
    op.add_column("decisions", sa.Column("guide", TEXT, nullable=True))


def downgrade() -> None:
    """Take it away."""
    op.drop_column("decisions", "guide")
