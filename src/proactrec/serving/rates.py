"""How often somebody may ask: a bucket of permits for each name, which fills up steadily."""

import ipaddress
import re
import time
from typing import NamedTuple, Self

from starlette.requests import HTTPConnection

from proactrec.errors import InvalidInputError

SECONDS = {"second": 1, "minute": 60, "hour": 3600}
MOST_NAMES = 10_000


class Rate(NamedTuple):
    """So many in so many seconds; all of them may come at once."""

    n: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of words such as `2000/second`.

        Raises
        ------
        InvalidInputError
            If it says anything else.
        """
        found = re.fullmatch(r"([1-9]\d{0,8})/(second|minute|hour)", text)
        if found is None:
            raise InvalidInputError(f"a rate must be N/second, N/minute or N/hour, got {text!r}")
        return cls(int(found[1]), SECONDS[found[2]])


class Buckets:
    """A bucket for each name; a name that was not seen for a while has a full one.

    Parameters
    ----------
    rate : Rate
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._full_at: dict[str, float] = {}

    def take(self, name: str) -> float:
        """Take a permit: 0, or the seconds until there is one."""
        now, cost = time.monotonic(), self.rate.seconds / self.rate.n
        full_at = max(now, self._full_at.get(name, now)) + cost
        if full_at - now > self.rate.seconds + cost / 2:  # less than one is in it
            return full_at - now - self.rate.seconds
        if name not in self._full_at and len(self._full_at) >= MOST_NAMES:
            self._forget(now)
        self._full_at[name] = full_at
        return 0.0

    def give_back(self, name: str) -> None:
        """Undo `take`."""
        if name in self._full_at:
            self._full_at[name] -= self.rate.seconds / self.rate.n

    def _forget(self, now: float) -> None:
        """Full buckets, which are as good as none; if there are too few, all."""
        kept = {name: at for name, at in self._full_at.items() if at > now}
        self._full_at = kept if len(kept) < MOST_NAMES else {}


def address_of(request: HTTPConnection) -> str:
    """Who asks; of IPv6 the network, since one has all the addresses of it."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False).network_address)
