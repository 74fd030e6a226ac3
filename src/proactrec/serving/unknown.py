"""Which of a guide's users were erased, by their rows, as was read last: the guide forgets them.

Whoever decides reads it of a tenant when somebody was erased; it is read of all tenants every
second, for when the store is out.
"""

from collections.abc import Mapping


class Unknown:
    """Rows of erased users, by guide and tenant."""

    def __init__(self) -> None:
        self._of_tenant: dict[tuple[str, str], frozenset[int]] = {}
        self._of_all: tuple[str, Mapping[str, frozenset[int]]] = "", {}

    def see(self, guide: str, tenant: str, rows: frozenset[int]) -> None:
        """Those of a tenant, by its last decision."""
        self._of_tenant[guide, tenant] = rows

    def see_all(self, guide: str, rows: Mapping[str, frozenset[int]]) -> None:
        """Those of all tenants who have any."""
        self._of_all = guide, rows

    def as_decided(self, guide: str, tenant: str) -> frozenset[int]:
        """Those that the last decision of a tenant knew of."""
        return self._of_tenant[guide, tenant]

    def rows(self, guide: str, tenant: str) -> frozenset[int] | None:
        """All that are known of; None: they were never read, and anybody may be one of them."""
        read, rows = self._of_all
        decided = self._of_tenant.get((guide, tenant))
        if read != guide:
            return decided
        return rows.get(tenant, frozenset()).union(decided or ())
