"""`proactrec knowledge list | restore | watch`: what was learned of answers, and the way back."""

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from proactrec.cli import console, options, results
from proactrec.cli.campaign import BY
from proactrec.cli.keys import GuideFolder, Store, Tenant, opened
from proactrec.config import parsed_setting

if TYPE_CHECKING:
    from proactrec.serving.learned import KnowledgeVersion

app = typer.Typer(
    no_args_is_help=True,
    help="Look at what was learned of users' answers, watch it, and go back.\n\n"
    "Start with: proactrec knowledge list --store shop.sqlite --guide guides/shop",
)


@app.command("list")
def list_versions(
    store: Store,
    guide: GuideFolder,
    limit: Annotated[int, typer.Option(min=1, help="Newest versions.")] = 20,
    tenant: Tenant = "default",
    json: options.Json = False,
) -> None:
    """Show versions, the newest first: what they were learned from, and how well they foretold.

    Example: proactrec knowledge list --store shop.sqlite --guide guides/shop
    """
    from proactrec.serving.guides import Guides
    from proactrec.serving.knowledge import told

    with opened(store) as database, database.reading() as connection:
        found = told(connection, tenant, Guides(guide), limit)
    if json:
        results.print_json(found.model_dump(mode="json"))
        return
    table = Table("version", "from", "learned of", "answers since", "foretold", "accepted", "alarm")
    for one in found.versions:
        table.add_row(*_row(one))
    console.Terminal(highlight=False).print(table)
    if found.watch.frozen:
        console.note("learning is frozen: `knowledge watch --set frozen=false` lets it go on")


@app.command()
def restore(
    version: Annotated[int, typer.Argument(help="As `list` shows it; 0: what the guide says.")],
    store: Store,
    guide: GuideFolder,
    reason: Annotated[str, typer.Option(help="Why: it is kept.")],
    learn: Annotated[
        bool, typer.Option("--learn", help="Learn on from there; else learning is frozen.")
    ] = False,
    tenant: Tenant = "default",
) -> None:
    """Guide by an older version again, as a new one, whose number is printed.

    Example: proactrec knowledge restore 7 --store shop.sqlite --guide guides/shop --reason "..."
    """
    from proactrec.serving.guides import Guides
    from proactrec.serving.knowledge import restored

    guides, how = Guides(guide), {"by": BY, "reason": reason}
    with opened(store) as database, database.writing() as connection:
        now = time.time_ns() // 1000
        lesson = restored(connection, tenant, guides, version, at=now, learns=learn, **how)
    print(lesson.version)


@app.command()
def watch(
    store: Store,
    guide: GuideFolder,
    set_: Annotated[
        list[str], typer.Option("--set", help="E.g. --set frozen=true --set on_alarm=go_back.")
    ],
    tenant: Tenant = "default",
) -> None:
    """Say how learning is watched, what an alarm does, and whether it is frozen.

    Example: proactrec knowledge watch --store shop.sqlite --guide guides/shop --set off=0.05
    """
    from proactrec.serving.guides import Guides
    from proactrec.serving.knowledge import watch as said
    from proactrec.store import watching
    from proactrec.store.watch import Watch

    guides, changes = Guides(guide), dict(map(parsed_setting, set_))
    with opened(store) as database, database.writing() as connection:
        old = watching.state(connection, tenant, guides.name).said
        new = Watch(**{**old.model_dump(), **changes})
        said(connection, tenant, guides, new, by=BY, at=time.time_ns() // 1000)
    results.print_json(new.model_dump(mode="json"))


def _row(one: "KnowledgeVersion") -> list[str]:
    seen = one.calibration
    figures = ["", "", ""]
    if seen is not None:
        figures = [f"{seen.answers:,}", f"{seen.foretold:.3f}", f"{seen.accepted:.3f}"]
    origin = "" if one.parent is None else str(one.parent)
    if one.restores is not None:
        origin = f"{one.restores} restored"
    return [str(one.version), origin, f"{one.answers:,}", *figures, one.alarm or ""]
