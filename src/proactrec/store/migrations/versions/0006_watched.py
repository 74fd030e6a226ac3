"""What was seen of what was learned, and versions that go back to older ones."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Add them; nothing was watched before."""
    op.add_column("knowledge", sa.Column("restores", sa.Integer, nullable=True))
    op.create_table(
        "watches",
        *map(_text, ("tenant", "guide", "said")),
        sa.Column("up_to_seq", sa.BigInteger, nullable=False),
        _text("variety"),
        sa.PrimaryKeyConstraint("tenant", "guide"),
    )
    op.create_table(
        "watched",
        *map(_text, ("tenant", "guide")),
        sa.Column("version", sa.Integer, nullable=False),
        *map(_text, ("sums", "alarm")),
        sa.PrimaryKeyConstraint("tenant", "guide", "version"),
    )


def downgrade() -> None:
    """Take them away; who went back stays there until something is learned."""
    op.drop_table("watched")
    op.drop_table("watches")
    op.drop_column("knowledge", "restores")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False)
