"""HTML pages: our templates, settings as text."""

import json
from typing import Any

import yaml

from proactrec.errors import MissingExtraError
from proactrec.report.extra import INSTALL

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined, Template
    from markupsafe import Markup
except ImportError as error:
    raise MissingExtraError(INSTALL) from error

SCROLLS = 'tabindex="0" role="group" aria-label="may be wider than the screen"'
"""Of what is scrolled by itself on a narrow screen: by the keyboard too."""


def template(name: str) -> Template:
    """One of our page templates, in which all text is escaped."""
    environment = Environment(
        loader=PackageLoader("proactrec.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pieces"] = _pieces
    environment.filters["words"] = _words
    environment.globals["scrolls"] = Markup(SCROLLS)
    return environment.get_template(name)


def _pieces(text: str) -> Markup:
    """A figure and its interval in brackets, which breaks before the bracket only."""
    figure, space, interval = str(text).partition(" (")
    parts = [figure, space.strip() + interval] if space else [figure]
    return Markup(" ").join(Markup('<span class="range">{}</span>').format(part) for part in parts)


def _words(text: str) -> Markup:
    """A command, which breaks at its spaces only: an option is not torn after its hyphens."""
    return Markup(" ").join(Markup("<span>{}</span>").format(word) for word in text.split(" "))


def settings_text(options: Any) -> str:
    """Nested settings as text; what YAML does not know (paths) becomes a string."""
    if not options:
        return ""
    plain = json.loads(json.dumps(options, default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=88).rstrip()
