"""What a host remembers of users: it saves reading, and is checked by the revision of each log."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from proactrec.store import log
from proactrec.store.database import Hot
from proactrec.store.people import Person


class Memory:
    """Users as the log told of them last.

    Parameters
    ----------
    most_rows : int
        Of logs that are kept.
    """

    def __init__(self, most_rows: int) -> None:
        self._people: OrderedDict[tuple[str, str], Person] = OrderedDict()
        self._most_rows, self._n_rows = most_rows, 0

    def __len__(self) -> int:
        return len(self._people)

    def see(self, tenant: str, hot: Hot, ids: Sequence[str]) -> dict[str, Person]:
        """Users as the log has them now, from memory where that is up to date."""
        at = log.revisions(hot, tenant, ids)
        found = {}
        for user_id, revision in at.items():
            person = self._people.get((tenant, user_id))
            if person is not None and person.revision == revision:
                self._people.move_to_end((tenant, user_id))
                found[user_id] = person
        missing = {user_id: n for user_id, n in at.items() if user_id not in found}
        found.update(log.people(hot, tenant, missing))
        return found

    def keep(self, person: Person) -> None:
        """Remember a user; whoever was asked for longest ago is forgotten."""
        key = person.tenant, person.user_id
        old = self._people.pop(key, None)
        self._n_rows += person.revision - (old.revision if old else 0)
        self._people[key] = person
        while self._n_rows > self._most_rows and len(self._people) > 1:
            self._n_rows -= self._people.popitem(last=False)[1].revision

    def forget(self, tenant: str, user_ids: Iterable[str]) -> None:
        """Look at these anew."""
        for user_id in user_ids:
            old = self._people.pop((tenant, user_id), None)
            self._n_rows -= old.revision if old else 0

    def forget_all(self, tenant: str) -> None:
        """Look at everybody anew: an id that was erased may be as far as it was before."""
        self.forget(tenant, [user_id for whose, user_id in self._people if whose == tenant])
