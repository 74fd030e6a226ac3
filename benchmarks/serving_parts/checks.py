"""What a database holds after a load, compared with what was acknowledged and with its caps."""

from typing import Any

from sqlalchemy import text

from proactrec.store.database import Database

EXPIRED = (
    "SELECT 1 FROM events e WHERE e.tenant = d.tenant AND e.user_id = d.user_id "
    "AND e.decision = d.number AND e.kind = 'expired'"
)
GUIDED = (
    "SELECT d.item_id AS item_id, count(*) AS n FROM decisions d WHERE d.campaign_id = :campaign "
    f"AND d.guided = 1 AND NOT EXISTS ({EXPIRED}) GROUP BY d.item_id"
)
WRONG = (
    f"SELECT count(*) FROM budgets b LEFT JOIN ({GUIDED}) g ON b.scope = 'item:' || g.item_id "
    "WHERE b.campaign_id = :campaign AND b.scope <> 'all' AND b.used <> COALESCE(g.n, 0)"
)
OF_ALL = "SELECT used FROM budgets WHERE campaign_id = :campaign AND scope = 'all'"
REPORTED = "SELECT count(*) FROM events WHERE kind IN ('impression', 'accept', 'skip')"


def checks(
    url: str, campaign_id: str, said: dict[str, Any], acknowledged: dict[str, int]
) -> dict[str, Any]:
    """Rows beside what was acknowledged; caps and budget beside the log."""
    database = Database(url)
    with database.reading() as connection:

        def number(sql: str) -> int:
            found = connection.execute(text(sql), {"campaign": campaign_id}).scalar()
            return int(found or 0)

        found = {
            "decisions": number("SELECT count(*) FROM decisions"),
            "events": number(REPORTED),
            "acknowledged": acknowledged,
            "guided": number(f"SELECT sum(n) FROM ({GUIDED}) g"),
            "budget_used": number(OF_ALL),
            "most_of_an_item": number(f"SELECT max(n) FROM ({GUIDED}) g"),
            "items_at_their_cap": number(
                f"SELECT count(*) FROM ({GUIDED}) g WHERE n >= {said['rails']['item_cap_total']}"
            ),
            "items_counted_wrong": number(WRONG),
        }
    database.close()
    found["is_right"] = (
        found["decisions"] == acknowledged["ask"]
        and found["events"] == acknowledged["report"]
        and found["guided"] == found["budget_used"] <= said["budget"]["total"]
        and found["most_of_an_item"] <= said["rails"]["item_cap_total"]
        and not found["items_counted_wrong"]
    )
    return found
