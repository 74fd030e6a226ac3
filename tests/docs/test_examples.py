"""What pages show as code is right: what does not run here could at least be typed."""

import ast
import json
from importlib import import_module

import pytest
import yaml

from .blocks import BLOCKS, Block, inline_commands, pages
from .commands import simple_commands, unknown_options, wrong_with

SHELL, DATA = ("console",), {"json": json.loads, "yaml": yaml.safe_load}
LANGUAGES = (*SHELL, *DATA, "python", "text")
WIDEST = 84
"""Characters of a line that does not scroll beside navigation and contents: site.css."""
COMMANDS = [one for path in pages() for one in inline_commands(path)]


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def test_every_fence_says_its_language_and_every_mark_is_known() -> None:
    wrong = [block.place for block in BLOCKS if block.language not in LANGUAGES]
    assert wrong == []
    marks = {block.mark.partition("=")[0] for block in BLOCKS}
    assert marks <= {"", "run", "save"}


def test_no_line_scrolls_on_a_desk() -> None:
    """Lines of text wrap; those of code would change."""
    wide = [
        f"{block.place}, line {number}: {len(line)}"
        for block in of(*SHELL, *DATA, "python")
        if block.page.startswith("docs/")
        for number, line in enumerate(block.code.splitlines(), start=1)
        if len(line) > WIDEST
    ]
    assert wide == []


@pytest.mark.parametrize("block", of(*SHELL), ids=lambda block: block.place)
def test_a_line_of_a_shell_could_be_typed(block: Block) -> None:
    if block.mark != "run":  # what runs says for itself, in test_running.py
        assert wrong_with(block.code) == []


@pytest.mark.parametrize(("place", "line"), COMMANDS, ids=[place for place, _ in COMMANDS])
def test_a_command_within_a_sentence_exists_and_has_its_options(place: str, line: str) -> None:
    assert unknown_options(line) == [], place


@pytest.mark.parametrize("block", of("python"), ids=lambda block: block.place)
def test_python_compiles_and_all_that_it_imports_is_there(block: Block) -> None:
    tree = ast.parse(block.code)
    names = {"pr": import_module("proactrec")}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("proactrec"):
            module = import_module(str(node.module))
            missing = [one.name for one in node.names if not hasattr(module, one.name)]
            assert not missing, f"{node.module} has no {missing}"
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in names:
            assert node.attr in names[ast.unparse(node.value)].__all__


@pytest.mark.parametrize("block", of(*DATA), ids=lambda block: block.place)
def test_data_is_well_formed(block: Block) -> None:
    assert DATA[block.language](block.code) is not None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("proactrec run --dataset demo --out runs/x", None),
        ("proactrec run --datset demo", "--datset"),
        ("proactrec run --n-targets many", "--n-targets"),
        ("proactrec rnu --dataset demo", "rnu"),
        ("proactrec guide fit --dataset demo", "--out"),
        ("proactrec guide fti --out x", "fti"),
        ("proactrec worlds --json > here.json 2> there.log 2>&1", None),
        ("cd runs && proactrec report", "RUN"),
        ("A=b proactrec worlds --jsn", "--jsn"),
        ("proactrec worlds \\\n  --jsn", "--jsn"),
        ("make everything", "no such target"),
        ("pip install 'proactrec[everything]'", "no extra everything"),
        ("python benchmarks/nothing.py", "no such file"),
        ("curl localhost:8080/v1/campains", "no route /v1/campains"),
        ("curl 'localhost:8080/v1/items?search=blue&limit=20'  # a comment, not --jsn", None),
        ("frobnicate --all", "nobody knows"),
        ("torchrun --nproc-per-node 2 -m proactrec train --datset demo", "--datset"),
    ],
)
def test_what_could_not_be_typed_is_found(line: str, expected: str | None) -> None:
    found = wrong_with(line)
    assert (found == []) if expected is None else (expected in " ".join(found)), found


def test_options_within_sentences_are_those_of_their_command() -> None:
    assert unknown_options("proactrec guide fit --out x --shows-again") == []
    assert unknown_options("proactrec guide fit --show-again=1") == ["--show-again"]
    assert unknown_options("proactrec gide fit") == ["gide", "fit"]
    assert unknown_options("proactrec COMMAND --help") == []


def test_commands_are_taken_apart_as_a_shell_does() -> None:
    code = "a 'b ; c\nd' # e\n# f\n…\nK=1 g --h \\\n i | j && k &\nL=$(m n)\n"
    found = list(simple_commands(code))
    assert found == [["a", "b ; c\nd"], ["g", "--h", "i"], ["j"], ["k"]]
