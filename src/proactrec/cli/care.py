"""`proactrec care show | set`: whom nobody guides, and what nobody is guided to."""

import time
from typing import Annotated

import typer

from proactrec.cli import console, results
from proactrec.cli.keys import Tenant, Url, opened

app = typer.Typer(
    no_args_is_help=True,
    help="Say whom nobody guides, and what nobody is guided to, whatever campaigns say.\n\n"
    "Start with: proactrec care set --group minors --database-url sqlite:///shop.sqlite",
)


@app.command()
def show(database_url: Url, tenant: Tenant = "default") -> None:
    """Print what holds, as JSON."""
    from proactrec.store import care

    with opened(database_url) as database, database.reading() as connection:
        results.print_json(care.current(connection, tenant).model_dump(mode="json"))


@app.command("set")
def set_care(
    database_url: Url,
    group: Annotated[
        list[str] | None, typer.Option(help="Users in this group are never guided; repeatable.")
    ] = None,
    category: Annotated[
        list[str] | None, typer.Option(help="Nobody is guided to its items; repeatable.")
    ] = None,
    tenant: Tenant = "default",
) -> None:
    """Let this hold, in place of all before, from the next decision on in every instance.

    Example: proactrec care set --group minors --category Tobacco
    """
    from proactrec.store import care
    from proactrec.store.audit import BY_COMMAND

    said = care.Care(excluded_groups=tuple(group or ()), excluded_categories=tuple(category or ()))
    with opened(database_url, makes=True) as database, database.writing() as connection:
        care.change(connection, tenant, said, by=BY_COMMAND, at=time.time_ns() // 1000)
    groups, categories = (
        ", ".join(one) or "none" for one in (said.excluded_groups, said.excluded_categories)
    )
    console.note(f"excluded from now on: groups {groups}; categories {categories}")
