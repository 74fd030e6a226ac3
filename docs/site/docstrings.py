"""Docstrings as the site shows them: roles become links, formulas MathML, and options say what for.

The docstrings are NumPy's, with a little of reStructuredText; mkdocstrings reads Markdown. griffe
loads this file by its path, see build.py.
"""

import ast
import re
from contextlib import suppress
from typing import Any

import griffe
from formulas import mathml
from reference import is_shown

ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):`(~?)([\w.]+)`")
FORMULA = re.compile(r":math:`([^`]+)`")
DISPLAYED = re.compile(r"^( *)\.\. math::(.*\n(?:\1 +.*\n?|\s*\n)*)", re.M)
LITERAL = re.compile(r"^( *)(.*?)::\n\n((?:\1 +.*\n?|\s*\n)+)", re.M)


class Docstrings(griffe.Extension):
    """What griffe calls for each object of the package."""

    def on_object(self, *, obj: griffe.Object, loader: Any, **_: Any) -> None:
        """Make its docstring Markdown, once the whole package is known."""
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value, obj)

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take what a field of options is, and its default, from pydantic's ``Field``."""
        call = _field(attr)
        if call is None or attr.docstring is not None:
            return
        for word in call.keywords:
            if word.arg == "description":
                attr.docstring = griffe.Docstring(_text(word.value), parent=attr)
        attr.value = ast.unparse(call.args[0]) if call.args else None


def markdown(text: str, obj: griffe.Object) -> str:
    """A docstring in Markdown."""
    text = DISPLAYED.sub(
        lambda found: f"{found[1]}{mathml(found[2], display=True)}\n\n", f"{text}\n"
    )
    text = FORMULA.sub(lambda found: mathml(found[1]), text)
    text = ROLE.sub(lambda found: _link(found[2], bool(found[1]), obj), text)
    text = LITERAL.sub(_fenced, text)
    return re.sub(r"(?<!`)``(?!`)", "`", text).rstrip()


def _fenced(found: re.Match[str]) -> str:
    lead = f"{found[1]}{found[2]}:\n\n" if found[2] else ""
    body = found[3].rstrip()
    return f"{lead}{found[1]}```python\n{_outdented(body, found[1])}\n{found[1]}```\n"


def _outdented(body: str, indent: str) -> str:
    lines = body.splitlines()
    more = min(len(line) - len(line.lstrip()) for line in lines if line.strip()) - len(indent)
    return "\n".join(line[more:] if line.strip() else "" for line in lines)


def _link(name: str, is_short: bool, obj: griffe.Object) -> str:
    shown = name.rpartition(".")[2] if is_short else name.lstrip(".")
    path = _path(name, obj)
    return f"[`{shown}`][{path}]" if path else f"`{shown}`"


def _path(name: str, obj: griffe.Object) -> str | None:
    """Where the site documents what a docstring names, if it does."""
    first, _, rest = name.lstrip(".").partition(".")
    if name.startswith("proactrec."):
        path = name
    elif name.startswith("."):  # a module beside this one
        path = f"{obj.module.path.rpartition('.')[0]}.{name[1:]}"
    else:
        try:
            path = obj.resolve(first) + (f".{rest}" if rest else "")
        except griffe.NameResolutionError:
            return None
    with suppress(KeyError, griffe.GriffeError):
        found = obj.modules_collection[path]
        if found.has_docstring and is_shown(found.module.path) and found.path == path:
            return None if any(part.startswith("_") for part in path.split(".")) else path
    return None


def _field(attr: griffe.Attribute) -> ast.Call | None:
    if attr.value is None or not str(attr.value).startswith("Field("):
        return None
    call = ast.parse(str(attr.value), mode="eval").body
    return call if isinstance(call, ast.Call) else None


def _text(node: ast.expr) -> str:
    """A string as the source says it; what it computes is shown as it is written."""
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return "".join(map(str, parts))
    return str(node.value) if isinstance(node, ast.Constant) else ast.unparse(node)
