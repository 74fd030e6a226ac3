"""`proactrec worlds`: the named kinds of simulated users."""

from rich.table import Table

from proactrec.cli import console, options, results


def worlds(
    json: options.Json = False,
) -> None:
    """List the named kinds of simulated users, whose settings never change.

    Example: proactrec worlds
    """
    from proactrec.simulator.worlds import WORLDS

    if json:
        results.print_json({name: world.changes() for name, world in WORLDS.items()})
        return
    table = Table("named world", "users", show_header=False, box=None, pad_edge=False)
    for name, world in WORLDS.items():
        table.add_row(name, world.about)
    console.Terminal().print(table)
