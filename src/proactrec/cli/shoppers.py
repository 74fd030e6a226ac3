"""`proactrec shoppers`: simulated users who visit a service over HTTP, as real ones would."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from proactrec.cli import console, options
from proactrec.cli.flags import takes
from proactrec.errors import InvalidInputError

if TYPE_CHECKING:
    from torch import Tensor

    from proactrec.data.dataset import Dataset
    from proactrec.serving.client import Client
    from proactrec.shoppers import Shoppers, Visit

KEY = "PROACTREC_KEY"
PATIENCE = 600.0
"""Seconds that a forecast is waited for."""


@takes(options.DATA)
def shoppers(
    api: Annotated[str, typer.Option(help="Where the service is, e.g. http://127.0.0.1:8080.")],
    key: Annotated[str, typer.Option(envvar=KEY, help="Of the scope operate.")],
    world: Annotated[
        str, typer.Option(help="Kind of users, see `proactrec worlds`.")
    ] = "leaving-5-v1",
    category: Annotated[
        str | None,
        typer.Option(help="Make a campaign for it first, wait for its forecast and start it."),
    ] = None,
    n_users: Annotated[int, typer.Option(min=1, help="How many come.")] = 300,
    n_rounds: Annotated[int, typer.Option(min=1, help="Visits of each, at most.")] = 40,
    pause: Annotated[
        float, typer.Option(min=0, max=86_400, help="Seconds between two visits.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the users' hidden interest and luck.")] = 1,
    data_dir: options.DataDir = None,
    **values: object,
) -> None:
    """Send simulated users of a data set to a service: they ask, see, answer and report.

    Their interest is hidden from the service, and so is what they would like next.

    Example: proactrec shoppers --api http://127.0.0.1:8080 --dataset demo --category Thriller
    """
    from proactrec.data.load import load
    from proactrec.serving.client import Client

    dataset = load(options.dataset_options(values), data_dir=data_dir)
    with Client(api, key) as client:
        console.note(f"asking the service at {api}")
        client.campaigns()  # who can't be reached is told before anything takes long
        if category is not None:
            begin(client, category)
        visitors = _shoppers(dataset, world, n_users, n_rounds, seed)
        console.note(f"{n_users:,} simulated users of the world {world} visit {api}")
        before: set[tuple[int, int]] = set()
        for number in range(1, n_rounds + 1):
            was_here = int((~visitors.is_away).sum())
            if not was_here:
                break
            _tell(number, was_here, visitors.visit(client), before)
            time.sleep(pause)
    console.note("all shoppers have gone; the service goes on")


def begin(client: "Client", category: str) -> None:
    """Make a campaign for a category and start it when its forecast is there."""
    from proactrec.store.campaign import Campaign, Goal

    if any(one.state == "running" for one in client.campaigns()):
        return
    said = Campaign(name=f"more {category}", goal=Goal(category=category), hold_out=0.2)
    campaign_id = client.create(said).id
    console.note(f"campaign {campaign_id} leads to {category}; it is forecast before it starts")
    made = client.forecast(campaign_id, patience=PATIENCE)
    if made.state != "done":
        raise InvalidInputError(f"the forecast of campaign {campaign_id} is {made.state}")
    client.start(campaign_id)
    console.note(f"campaign {campaign_id} runs: GET /v1/campaigns/{campaign_id}")


def _shoppers(dataset: "Dataset", world: str, n_users: int, n_rounds: int, seed: int) -> "Shoppers":
    """Users drawn at random, with hidden vectors that the service never saw."""
    import numpy as np

    from proactrec.graphau import fit_graphau
    from proactrec.rng import generator
    from proactrec.shoppers import Shoppers
    from proactrec.simulator.hidden import hidden_vectors
    from proactrec.simulator.world import World
    from proactrec.simulator.worlds import named_world

    kind = named_world(world)
    if kind.hidden == "interest":
        vectors: tuple[Tensor, Tensor] = fit_graphau(dataset, seed=seed)[0]
    else:
        vectors = hidden_vectors(kind.hidden, dataset)
    targets = np.arange(1, len(dataset.items) + 1)
    played = World(dataset, *vectors, targets, kind.options, seed=seed)
    most = min(n_users, dataset.n_users)
    users = np.sort(generator(seed, "shoppers").choice(dataset.n_users, most, replace=False))
    return Shoppers(dataset, played, users, n_rounds=n_rounds)


def _tell(number: int, here: int, visit: "Visit", arrived: set[tuple[int, int]]) -> None:
    """How the round went, in a line."""
    shown = visit.item_idx > 0
    is_target = shown & visit.accepted & (visit.item_idx == visit.target_idx)
    arrived |= {(row, int(visit.target_idx[row])) for row in is_target.nonzero()[0].tolist()}
    share = visit.accepted[shown].mean() if shown.any() else 0.0
    console.note(
        f"round {number}: {here:,} here, {int(visit.guided.sum()):,} guided, "
        f"{int(visit.is_held_out.sum()):,} held out, {100 * share:.0f} % accepted, "
        f"{len(arrived):,} targets accepted so far"
    )
