"""A campaign played before it runs: plausible worlds, by several policies."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from nicegui import ui

from proactrec.console import words
from proactrec.console.charts import intervals
from proactrec.console.elements import Check, attributes, box, button, table, text
from proactrec.console.frame import page_of, shown
from proactrec.console.pages.choosing import Seen, chosen, seen
from proactrec.console.pages.forecast import SHARES, cell, ends, show_assumed, told
from proactrec.console.pages.jobs import Work
from proactrec.console.sessions import Session
from proactrec.serving.studies import MOST_POLICIES


def build() -> None:
    """The page `/worlds`."""

    @ui.page("/worlds")
    async def worlds(request: Request, campaign: str = "") -> None:
        with page_of(request, "Worlds") as session:
            if session is not None:
                text(
                    "p",
                    "Simulated users, like those whom the guide knows, are guided as a campaign "
                    "says, by several policies in the same worlds with the same luck.",
                )
                await shown(
                    lambda: session.ask(seen),
                    lambda found: _show(session, found, campaign),
                    "Asking for policies and campaigns …",
                )


def _show(session: Session, found: Seen, campaign_id: str) -> None:
    one = chosen(found.campaigns, campaign_id, "/worlds")
    if one is None:
        return
    with box("fieldset"):
        text("legend", f"Policies, at most {MOST_POLICIES}")
        checks = {p.name: Check(p.name, value=p.own, hint=p.about) for p in found.policies}

    async def begin() -> object:
        names = tuple(name for name, check in checks.items() if check.value)
        return await session.ask(lambda client: client.study(one.id, "worlds", policies=names))

    if session.may("operate"):
        button("Play these policies", lambda: work.again(), "second")
    text("h2", "What they would bring")
    work = Work(
        attributes(box(), aria_live="polite"),
        lambda: session.ask(lambda client: client.study_seen(one.id, "worlds")),
        begin if session.may("operate") else None,
        _show_worlds,
    )


def _show_worlds(result: Mapping[str, Any]) -> None:
    rounds, names = [str(n) for n in result["rounds"]], list(result["policies"])
    for metric in SHARES:
        groups = {
            name: [ends(found["difference"][metric][number]) for number in rounds]
            for name, found in result["policies"].items()
        }
        what = words.METRICS[metric]
        text("h3", f"Difference: {what}")
        label = f"{what}, less plain recommendation, by policy and rounds, 95 % intervals"
        intervals(label, [f"{number} rounds" for number in rounds], groups)
    rows = [
        [
            name,
            *(
                cell(metric, result["policies"][name]["difference"][metric][rounds[-1]])
                for metric in words.METRICS
            ),
        ]
        for name in names
    ]
    head = ("Policy", *(f"#{what}" for what in words.METRICS.values()))
    caption = f"Less plain recommendation, after {rounds[-1]} rounds, {result['n_worlds']} worlds"
    table(caption, head, rows)
    _by_interest(result["by_interest"], names)
    show_assumed(result)


def _by_interest(found: Mapping[str, Any], names: Sequence[str]) -> None:
    rows = [
        [
            kind.replace("_", " "),
            words.count(one["n_worlds"]),
            *(
                told("target_acceptance", one["difference"][name]["target_acceptance"])
                for name in names
            ),
        ]
        for kind, one in found.items()
    ]
    head = ("What interest is like", "#Worlds", *(f"#{name}" for name in names))
    table(f"More {words.METRICS['target_acceptance']}, by kind of world", head, rows)
