"""What routes stand on: the database, an instance, keys, and the guides that decide."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from proactrec.serving.access import Door
from proactrec.serving.host import wall_clock
from proactrec.serving.instance import Instance
from proactrec.store.database import Database
from proactrec.store.keys import Access, Scope


@dataclass(frozen=True, eq=False)
class Service:
    """All of one instance.

    Parameters
    ----------
    database : Database
        Of routes. The instance's host has connections of its own: however many routes read, and
        however long, decisions find one.
    """

    database: Database
    instance: Instance
    door: Door
    clock: Callable[[], int] = wall_clock


def service_of(request: Request) -> Service:
    """Of the application that a request came to."""
    service: Service = request.app.state.service
    return service


class Needs:
    """A dependency of routes: whose request it is, if the key reaches this scope; None: any key."""

    def __init__(self, scope: Scope | None = None) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Access:
        """Who asks."""
        return await service_of(request).door.admit(request, self.scope)
