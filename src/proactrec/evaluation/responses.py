"""Click models beside the calibrated one, by name."""

from pathlib import Path
from typing import Any, Protocol

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.names import unknown
from proactrec.plugins import loaded
from proactrec.progress import Progress
from proactrec.simulator.response import Response

RESPONSES = {"llm": "proactrec.llm.click_agent:ClickAgent"}
"""As module:class, loaded on first use."""


class ResponseKind(Protocol):
    """A click model class, as the registry knows it."""

    options_type: type[Options]

    def __call__(self, dataset: Dataset, options: Any, cache: Path, progress: Progress) -> Response:
        """The click model of a run."""

    def fingerprint(self, options: Any) -> dict[str, Any]:
        """What tells one's answers from another's."""


def response_type(name: str) -> ResponseKind:
    """The click model class of a name, or :class:`UnknownIdError` with the known ones."""
    if name not in RESPONSES:
        raise unknown("response", name, ("distribution", *RESPONSES))
    found: ResponseKind = loaded(RESPONSES[name])
    return found
