"""All routes of the service, read from what it says of itself, so that new ones are tested too."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from proactrec.serving.app import create_app

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "safety.md"


class Route(NamedTuple):
    """A route, and its description."""

    method: str
    path: str
    about: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def body(self) -> dict[str, Any] | None:
        """Schema of its JSON body."""
        found = self.about.get("requestBody", {}).get("content", {})
        schema: dict[str, Any] | None = found.get("application/json", {}).get("schema")
        return schema


DESCRIPTION: dict[str, Any] = create_app(None).openapi()  # type: ignore[arg-type]
ROUTES = [
    Route(method.upper(), path, about)
    for path, methods in DESCRIPTION["paths"].items()
    for method, about in methods.items()
]
NEEDED = dict(re.findall(r"^\| `([A-Z]+ /\S+)` \| (\w+) \|$", PAGE.read_text(), re.M))
"""The scope of every route, as the page says it."""
