"""`proactrec campaign measure | power | off-policy`: what a campaign brought, and what may show."""

import time
from typing import Annotated

import typer
from rich.table import Table

from proactrec.cli import console, options, results
from proactrec.cli.keys import GuideFolder, Store, Tenant, opened
from proactrec.cli.rules import Rule, callback_of
from proactrec.errors import InvalidInputError


def measure(
    store: Store,
    campaign: Annotated[str, typer.Option(help="Id of the campaign.")],
    tenant: Tenant = "default",
    json: options.Json = False,
) -> None:
    """Tell what a campaign brought, against who is held out; look as often as you like.

    Users count once they are known for good: `measure.window_hours` after the first decision and
    the time to answer. `measure.users` says at how many the final interval is taken.

    Example: proactrec campaign measure --store shop.sqlite --campaign 3f2a9c01d2e4
    """
    from proactrec.serving.measuring import measured
    from proactrec.store import campaigns

    with opened(store) as database, database.reading() as connection:
        version = campaigns.current(connection, tenant, campaign)
        found = measured(connection, version, time.time_ns() // 1000)
    if json:
        results.print_json(found.model_dump(mode="json"))
        return
    table = Table(
        "arm", "segment", "users", "measured", "figure", "value", "difference", "95 % or more"
    )
    for arm in found.arms:
        counts = [arm.arm, arm.segment or "all", f"{arm.users:,}", f"{arm.matured:,}"]
        if not arm.effects:
            table.add_row(*counts, "", "", "", "")
        for name, one in arm.effects.items():
            span = f"{one.low:+.4f} to {one.high:+.4f}"
            table.add_row(*counts, name, f"{one.value:.4f}", f"{one.difference:+.4f}", span)
            counts = ["", "", "", ""]
    console.Terminal(highlight=False).print(table)
    print(found.verdict)


def power(
    effect: Annotated[float, typer.Option(help="Difference that is to be seen, e.g. 0.02.")],
    rate: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share without guidance, for figures that are shares."),
    ] = None,
    deviation: Annotated[
        float | None,
        typer.Option(
            callback=callback_of("--deviation", Rule({"gt": 0})),
            help="Else the standard deviation of a user's number.",
        ),
    ] = None,
    hold_out: Annotated[
        float,
        typer.Option(
            callback=callback_of("--hold-out", Rule({"gt": 0, "lt": 1})),
            help="Share of users who are not guided.",
        ),
    ] = 0.1,
) -> None:
    """Tell how many users a campaign needs, so that an effect shows in 4 of 5 cases.

    The number belongs into `measure.users`, before anybody looks.

    Example: proactrec campaign power --effect 0.02 --rate 0.1 --hold-out 0.2
    """
    from proactrec.measurement.effects import users_for_share, users_needed

    if (rate is None) == (deviation is None):
        raise InvalidInputError("give --rate or --deviation, one of them")
    if rate is not None:
        print(users_for_share(effect, rate, hold_out))
    elif deviation is not None:
        print(users_needed(effect, (deviation, deviation), (1 - hold_out, hold_out)))


def off_policy(
    store: Store,
    guide: GuideFolder,
    campaign: Annotated[str, typer.Option(help="Id of a campaign that explores.")],
    policy: Annotated[str, typer.Option(help="Name of a policy that the guide can build.")],
    tenant: Tenant = "default",
    json: options.Json = False,
) -> None:
    """Estimate how often the next item had been accepted, had another policy chosen it.

    It chooses among the items of which one was drawn; where that says too little, it says why.

    Example: proactrec campaign off-policy --store shop.sqlite --guide guides/shop --campaign ID \
    --policy itmprec
    """
    from proactrec.serving.guides import Guides
    from proactrec.worker.off_policy import acceptance_under, as_json

    with opened(store) as database:
        found = acceptance_under(database, tenant, campaign, policy, Guides(guide))
    if json:
        results.print_json(as_json(found))
        return
    worth = f"{found.n_decisions:,} decisions, worth {found.effective_size:,.0f} of {policy}"
    print(f"refused: {found.refused} ({worth})" if found.refused else worth)
    for name, one in found.estimates.items():
        print(f"{name}: {one.mean:.3f} ({one.low:.3f} to {one.high:.3f})")
