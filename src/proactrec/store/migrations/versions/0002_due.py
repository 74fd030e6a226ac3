"""Users by when a decision of theirs must be settled, so that the worker finds what is due."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, and say so of everybody who has decisions: the worker looks what is due."""
    op.add_column("users", sa.Column("due_at", sa.BigInteger, nullable=True))
    op.execute("UPDATE users SET due_at = 0")
    op.create_index("users_due", "users", ["due_at"])


def downgrade() -> None:
    """Take it away."""
    op.drop_index("users_due", "users")
    op.drop_column("users", "due_at")
