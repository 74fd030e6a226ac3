"""Prompt injections against a model that obeys whatever stands outside the fences."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.llm.click_agent import ClickAgent, ClickAgentOptions
from proactrec.llm.messages import Message
from proactrec.llm.prompting import click_prompt, load_prompt

from .fence_reader import outside_fences
from .injections import INJECTIONS


def titled(titles: Sequence[str]) -> Dataset:
    """Items with these titles, and a harmless one; one user has them all."""
    # No UTF-8 holds half of a surrogate pair: what a file could bring is the replacement.
    names = [t.encode("utf-8", "replace").decode() for t in (*titles, "A Harmless Film (1990)")]
    rows = [("u", f"i{i:04}", i) for i in range(1, len(names) + 1)]
    events = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    lists = pl.Series([["all"]] * len(names), dtype=pl.List(pl.String))
    items = pl.DataFrame({"item_id": [row[1] for row in rows], "title": names})
    catalogue = Catalogue(items.with_columns(categories=lists))
    return Dataset.build("toy", Interactions(events), catalogue)


def test_no_title_makes_an_obeying_model_change_its_mind(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    """The server obeys all that stands outside the fences; shown or accepted, titles stay inside.

    That it does is seen from a prompt with the same titles as they are.
    """
    data = titled(INJECTIONS)
    nothing = click_prompt(load_prompt("generic", "click"), history=["A"], item="B")
    allowed = hashlib.sha256(outside_fences(nothing).encode()).hexdigest()
    options = ClickAgentOptions(url=serve(obeys=allowed).url, model="tiny", concurrency=32)
    agent = ClickAgent(data, options, tmp_path / "answers.sqlite")
    n = len(INJECTIONS)
    asked = [([n + 1], i) for i in range(1, n + 1)] + [([i], n + 1) for i in range(1, n + 1)]
    try:
        assert max(p for p in agent.probabilities(asked) if p is not None) < 0.5
        assert None not in agent.probabilities(asked)
        *before, last = nothing
        raw = [
            (*before, Message("user", last.content.replace('"B"', title)))
            for title in INJECTIONS
            if len(title.splitlines()) > 2 and "</titles>" in title
        ]
        assert {answer.text for answer in agent.client.ask(raw)} == {"1"}
    finally:
        agent.close()
