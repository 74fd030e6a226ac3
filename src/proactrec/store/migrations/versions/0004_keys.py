"""Keys have names, may expire, and wrong ones are refused by a trace, before they are hashed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add the columns; of older keys nothing is known."""
    op.add_column("keys", sa.Column("expires_at", sa.BigInteger, nullable=True))
    op.add_column("keys", sa.Column("name", TEXT, nullable=True))
    op.add_column("keys", sa.Column("trace", TEXT, nullable=True))


def downgrade() -> None:
    """Take them away."""
    for name in ("trace", "name", "expires_at"):
        op.drop_column("keys", name)
