"""`proactrec keys create | list | revoke`: who may use the service."""

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="Make, list and revoke keys of the service.\n\n"
    "Start with: proactrec keys create --scope operate --database-url campaigns.db",
)
