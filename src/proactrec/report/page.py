"""HTML pages: our templates, settings as text, and files that appear whole."""

import json
import os
from pathlib import Path
from typing import Any

import yaml

from proactrec.errors import MissingExtraError
from proactrec.report.extra import INSTALL

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined, Template

except ImportError as error:
    raise MissingExtraError(INSTALL) from error


def template(name: str) -> Template:
    """One of our page templates, in which all text is escaped."""
    environment = Environment(
        loader=PackageLoader("proactrec.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def write_whole(path: Path, text: str) -> Path:
    """Write the file and return its path; it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8", errors="replace")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def settings_text(options: Any) -> str:
    """Nested settings as text; what YAML does not know (paths) becomes a string."""
    if not options:
        return ""
    plain = json.loads(json.dumps(options, default=str))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=88).rstrip()
