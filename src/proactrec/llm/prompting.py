"""Prompts from files: loaded, checked, and filled with titles that stay inside their fences.

A file is ``prompts/DOMAIN/KIND.txt``. Its first line is ``# KIND prompt, version N``; each
``=== ROLE`` opens a message (system, user or assistant). The rest is text with named slots
(`string.Template`: ``$name``, and ``$$`` for a dollar). A slot of titles stands alone on its
line, and the fences come with the titles, so no file can forget them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Literal, get_args

from proactrec.errors import InvalidInputError
from proactrec.llm.fence import CLOSE, OPEN, fenced
from proactrec.llm.messages import Message

Kind = Literal["click", "plan"]
Role = Literal["system", "user", "assistant"]

HISTORY_LEN = 20
DOMAINS = ("generic", "movies", "music", "games")
TITLE_SLOTS: Mapping[Kind, frozenset[str]] = {
    "click": frozenset({"history", "item"}),
    "plan": frozenset({"history", "target", "skipped"}),
}
NUMBER_SLOTS: Mapping[Kind, frozenset[str]] = {
    "click": frozenset(),
    "plan": frozenset({"path_len"}),
}

_VERSION = re.compile(r"# (?P<kind>\w+) prompt, version (?P<version>\d+)")
_ROLE = re.compile(r"^=== (?P<role>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Prompt:
    """A checked prompt file; `load_prompt` makes it."""

    kind: Kind
    version: int  # from the first line of the file
    source: str  # the file, for messages
    turns: tuple[tuple[Role, str], ...]  # role, text with slots

    def fill(
        self, titles: Mapping[str, Sequence[str]], numbers: Mapping[str, int]
    ) -> tuple[Message, ...]:
        """The messages, with fenced titles and numbers in the slots."""
        slots = {name: fenced(t) for name, t in titles.items()}
        slots |= {name: str(number) for name, number in numbers.items()}
        return tuple(Message(role, Template(text).substitute(slots)) for role, text in self.turns)


def load_prompt(domain: str, kind: Kind, *, folder: Path | str | None = None) -> Prompt:
    """The prompt of a domain, checked.

    Parameters
    ----------
    domain : str
        Name of a folder: "generic", "movies", "music", "games", or one in `folder`.
    kind : {"click", "plan"}
    folder : path, optional
        Where to look instead of in the package: a folder of domain folders.

    Raises
    ------
    InvalidInputError
        If there is no such file, or it does not keep to the format: the sentence names file and
        slot.

    Examples
    --------
    >>> load_prompt("movies", "click").version
    1
    """
    root: Traversable = files("proactrec.llm") / "prompts" if folder is None else Path(folder)
    if kind not in TITLE_SLOTS:
        raise InvalidInputError(f"kind must be one of {', '.join(TITLE_SLOTS)}, got {kind!r}")
    if not re.fullmatch(r"[\w-]+", domain):
        raise InvalidInputError(f"domain must be the name of a folder, got {domain!r}")
    file = root / domain / f"{kind}.txt"
    if not file.is_file():
        known = f"; there are {', '.join(DOMAINS)}" if folder is None else ""
        raise InvalidInputError(f"there is no {kind} prompt {file}{known}")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file} must be UTF-8 text, got {error}") from error
    return parse_prompt(text, kind, source=str(file))


def parse_prompt(text: str, kind: Kind, *, source: str) -> Prompt:
    """The prompt that a file's text holds, checked as in :func:`load_prompt`."""
    first, _, rest = text.partition("\n")
    head = _VERSION.fullmatch(first.strip())
    if head is None or head["kind"] != kind:
        raise InvalidInputError(
            f"{source} must begin with '# {kind} prompt, version N', got {first[:60]!r}"
        )
    turns = _turns(rest, source)
    _check_slots([text for _, text in turns], kind, source)
    return Prompt(kind, int(head["version"]), source, turns)


def click_prompt(
    prompt: Prompt,
    *,
    history: Sequence[str],
    item: str,
    history_len: int = HISTORY_LEN,
) -> tuple[Message, ...]:
    """The question whether a user would accept an item.

    Source: Lian et al. 2025 (ITMPRec), Section 4.6. We write the history newest last, fence the
    titles, and let each of the three examples show one item accepted and one not.

    Parameters
    ----------
    prompt : Prompt
        Of kind "click".
    history : sequence of str
        Titles that the user accepted, newest last; the last `history_len` are written.
    item : str
        Title of the shown item.

    Raises
    ------
    InvalidInputError
        If the prompt is of another kind or `history_len` is below 1.
    """
    _check_kind(prompt, "click")
    titles = {"history": _newest(history, history_len), "item": [item]}
    return prompt.fill(titles, {})


def plan_prompt(
    prompt: Prompt,
    *,
    history: Sequence[str],
    target: str,
    path_len: int,
    skipped: Sequence[str] = (),
    history_len: int = HISTORY_LEN,
) -> tuple[Message, ...]:
    """The request for a path of `path_len` titles from a history to a target (LLM-IPP).

    Parameters
    ----------
    prompt : Prompt
        Of kind "plan".
    history
        As in :func:`click_prompt`.
    target : str
        Title of the item to lead to.
    path_len : int, at least 1
    skipped : sequence of str
        Titles shown and not accepted. Without them a request after a skip would be the same
        request, with the same stored answer.

    Raises
    ------
    InvalidInputError
        If the prompt is of another kind, or `path_len` or `history_len` is below 1.
    """
    _check_kind(prompt, "plan")
    if path_len < 1:
        raise InvalidInputError(f"path_len must be at least 1, got {path_len}")
    titles = {"history": _newest(history, history_len), "target": [target], "skipped": skipped}
    return prompt.fill(titles, {"path_len": path_len})


def _newest(history: Sequence[str], history_len: int) -> Sequence[str]:
    if history_len < 1:
        raise InvalidInputError(f"history_len must be at least 1, got {history_len}")
    return history[-history_len:]


def _check_kind(prompt: Prompt, kind: Kind) -> None:
    if prompt.kind != kind:
        raise InvalidInputError(f"prompt must be of kind {kind!r}, got {prompt.source}")


def _turns(text: str, source: str) -> tuple[tuple[Role, str], ...]:
    before, *parts = _ROLE.split(text)
    if before.strip() or not parts:
        raise InvalidInputError(f"{source} must go on with '=== system' or '=== user' in line 2")
    roles: dict[str, Role] = {role: role for role in get_args(Role)}
    names = [name.strip() for name in parts[::2]]
    if unknown := [name for name in names if name not in roles]:
        raise InvalidInputError(
            f"{source} has a message '=== {unknown[0]}'; there are {', '.join(roles)}"
        )
    return tuple((roles[n], part.strip()) for n, part in zip(names, parts[1::2], strict=True))


def _check_slots(texts: Sequence[str], kind: Kind, source: str) -> None:
    """Every slot is known, none is missing, and titles stand where a fence can."""
    if any(not Template(text).is_valid() for text in texts):
        raise InvalidInputError(f"{source} has a $ that starts no slot; write $$ for a dollar")
    found = {name for text in texts for name in Template(text).get_identifiers()}
    known = TITLE_SLOTS[kind] | NUMBER_SLOTS[kind]
    if unknown := sorted(found - known):
        raise InvalidInputError(
            f"{source} has an unknown slot ${unknown[0]}; there are ${', $'.join(sorted(known))}"
        )
    if missing := sorted(known - found):
        raise InvalidInputError(f"{source} lacks the slot ${missing[0]}")
    for name in sorted(TITLE_SLOTS[kind]):
        _check_alone(texts, name, source)
    _check_fences(texts, source)


def _check_alone(texts: Sequence[str], name: str, source: str) -> None:
    slot = re.compile(rf"(?<!\$)(?:\$\$)*(?:\${name}(?![a-z0-9_])|\${{{name}}})", re.IGNORECASE)
    for line in (line for text in texts for line in text.splitlines()):
        if slot.search(line) and line not in (f"${name}", f"${{{name}}}"):
            raise InvalidInputError(
                f"{source}: the slot ${name} must stand alone on its line, got {line[:80]!r}"
            )


def _check_fences(texts: Sequence[str], source: str) -> None:
    """Fences that a file writes itself, for its examples, are closed and hold no slot."""
    for text in texts:
        is_open = False
        for line in text.splitlines():
            if line in (OPEN, CLOSE):
                if (line == OPEN) == is_open:
                    raise InvalidInputError(f"{source} has {line} where it cannot stand")
                is_open = not is_open
            elif is_open and not line.startswith('"'):
                raise InvalidInputError(f"{source} has {line[:80]!r} within fences: quote it")
        if is_open:
            raise InvalidInputError(f"{source} leaves {OPEN} open")
