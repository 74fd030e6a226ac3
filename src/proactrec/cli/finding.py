"""What `proactrec doctor` finds: one thing, whether it is right, and what to do if not."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One line."""

    what: str
    found: str
    todo: str = ""  # "": nothing is wrong

    @property
    def is_right(self) -> bool:
        """Whether nothing is to be done."""
        return not self.todo
