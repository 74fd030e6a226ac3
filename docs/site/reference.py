"""Pages of the reference, made from what is there: the public names, the modules, the commands."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

SOURCE = Path(__file__).resolve().parents[2] / "src"
PACKAGE = "proactrec"
HIDDEN = (
    *("cli", "console", "worker", "estimating", "shoppers", "report", "__main__"),
    *("files", "gpu", "optimizers", "parallel", "plugins", "tables", "threads"),
    *("serving", "store"),
)
"""Parts that nobody imports: commands and the service are made of them, and the guide tells."""
SHOWN = ("serving.client", "serving.schemas", "serving.brought", "store.campaign")
"""Parts of those that users do import."""
WIDTH = 76
"""Characters of code that a line of a page holds beside the button that copies it."""

OPTION = re.compile(r"(?<![\w`-])--[a-z][\w-]*(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)")
"""One that no backticks stand around: an even number of them follows."""


class Page(NamedTuple):
    """A page of the reference."""

    path: str  # within the site's source
    title: str
    text: str


def is_shown(module: str) -> bool:
    """Whether a module, such as ``proactrec.intents``, has a page."""
    name = module.removeprefix(f"{PACKAGE}.")
    if any(part.startswith("_") for part in name.split(".")) or module == PACKAGE:
        return False
    return name in SHOWN or name.split(".")[0] not in HIDDEN


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Modules that have a page, by name, and their source."""
    for path in sorted((SOURCE / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text())
        if is_shown(name) and len(tree.body) > 1:  # more than what it is for
            yield name, tree


def public_names() -> dict[str, str]:
    """Where each of ``proactrec.__all__`` is defined."""
    tree = ast.parse((SOURCE / PACKAGE / "__init__.py").read_text())
    homes = {
        one.asname or one.name: f"{node.module}.{one.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for one in node.names
    }
    return {name: homes[name] for name in sorted(import_module(PACKAGE).__all__, key=str.lower)}


def first_line(tree: ast.Module, name: str) -> str:
    """What the docstring of a function, class or constant of a module says first."""
    for at, node in enumerate(tree.body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _plain(ast.get_docstring(node) or "")
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            told = tree.body[at + 1] if at + 1 < len(tree.body) else None
            if isinstance(told, ast.Expr) and isinstance(told.value, ast.Constant):
                return _plain(str(told.value.value))
    raise ValueError(f"{name} has no docstring to show in the reference")


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [one.id for one in targets if isinstance(one, ast.Name)]


def _plain(docstring: str) -> str:
    line = " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", line).replace("``", "`")


def pages() -> list[Page]:
    """Everything in the reference, in the order of its navigation."""
    known = dict(modules())
    return [_names(known), *map(_module, known), *_commands()]


def _names(known: dict[str, ast.Module]) -> Page:
    rows = ["| name | what it is |", "| --- | --- |"]
    for name, home in public_names().items():
        module, _, there = home.rpartition(".")
        if module not in known:
            raise ValueError(f"pr.{name} is public, but {module} has no page: see HIDDEN, SHOWN")
        line = first_line(known[module], there)
        rows.append(f"| [`pr.{name}`]({_place(module)}#{home}) | {line} |")
    text = (
        "# Python reference\n\nWhat `import proactrec as pr` gives. Behind each name is its page "
        "with parameters, shapes and errors; all that the modules hold is under *Modules*.\n\n"
        + "\n".join(rows)
        + "\n"
    )
    return Page("reference/index.md", "Python", text)


def _place(module: str) -> str:
    return f"modules/{module.removeprefix(f'{PACKAGE}.').replace('.', '/')}.md"


def _module(module: str) -> Page:
    title = module.removeprefix(f"{PACKAGE}.")
    return Page(f"reference/{_place(module)}", title, f"::: {module}\n")


def _commands() -> Iterator[Page]:
    main = import_module(f"{PACKAGE}.cli.main")
    rows = [f"| [`proactrec {name}`]({name}.md) | {line} |" for name, (_, line) in _lines(main)]
    table = "\n".join(["| command | what it does |", "| --- | --- |", *rows])
    lead = "# Commands\n\n`proactrec COMMAND --help` says the same in a terminal.\n\n"
    yield Page("reference/commands/index.md", "Commands", f"{lead}{table}\n")
    for name in main.COMMANDS:
        text = "\n".join(_command(f"proactrec {name}", main.command(name), 1))
        yield Page(f"reference/commands/{name}.md", name, text)


def _lines(main: Any) -> list[tuple[str, tuple[str, str]]]:
    return list(main.COMMANDS.items())


def _command(name: str, command: Any, level: int) -> Iterator[str]:
    """A command's help as Markdown; those of a group follow it."""
    yield f"{'#' * level} {name}\n"
    yield f"{_example(command.help or '')}\n"
    context = command.make_context(name, [], resilient_parsing=True)
    panels: dict[str, list[str]] = {}
    for one in command.get_params(context):
        record = one.get_help_record(context)
        if record is not None and one.name != "help":
            panel = getattr(one, "rich_help_panel", None) or (
                "Arguments" if one.param_type_name == "argument" else "Options"
            )
            panels.setdefault(panel, []).append(_option(*record))
    for panel, options in panels.items():
        yield f"**{_safe(panel)}**\n"
        yield "\n".join(options) + "\n"
    for part, inner in getattr(command, "commands", {}).items():
        yield from _command(f"{name} {part}", inner, level + 1)


def _option(left: str, right: str) -> str:
    return f"- `{' '.join(left.split())}`: {_safe(right)}"


def _example(text: str) -> str:
    """Help with its example, if there is one, as a block."""
    paragraphs = text.replace("\b", "").split("\n\n")
    for at, paragraph in enumerate(paragraphs):
        lead, found, line = paragraph.partition(": proactrec ")
        if found and lead.strip() in ("Example", "Start with"):
            paragraphs[at] = f"{lead.strip()}:\n\n```console\n{_folded(line)}\n```"
        else:
            paragraphs[at] = _safe(" ".join(paragraph.split()))
    return "\n\n".join(paragraphs)


def _folded(line: str) -> str:
    """A command that a page is wide enough for: it goes on before an option."""
    lines = ["proactrec"]
    for part in re.split(r" (?=-)", " ".join(line.split())):
        fits = len(lines[-1]) + len(part) < WIDTH
        if part.startswith("-") and not fits:
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}"
    return " \\\n".join(lines)


def _safe(text: str) -> str:
    """Help as plain text: it may hold what Markdown and HTML give a meaning; options are code."""
    marked = OPTION.sub(r"`\g<0>`", " ".join(text.split()))
    escaped = re.sub(r"([\\*_<>\[\]|])", lambda found: f"&#{ord(found[1])};", marked)
    return re.sub(r"`([^`]+)`", lambda found: f"`{_unescaped(found[1])}`", escaped)


def _unescaped(text: str) -> str:
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text)
