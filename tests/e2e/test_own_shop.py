"""From a shop's exports, with the quirks that these have, to a campaign with users who answer.

The way of docs/guide/campaigns.md, by the commands that it names.
"""

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from proactrec.serving.client import Client
from proactrec.serving.schemas import ArmCounts, EventReport, Item
from proactrec.store.campaign import Audience, Campaign, CampaignRails, Goal

from .conftest import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("always::proactrec.errors.DataWarning"),
]
KINDS = ("Jazz", "Klassik", "Rock & Pop", "Hörbuch")
N_ITEMS, N_USERS = 60, 80
COMMAND = [sys.executable, "-c", "from proactrec.cli.main import main; main()"]
FEW = [
    f"--set={setting}"
    for setting in (
        "graphau.embedding_dim=8",
        "graphau.stopping.n_epochs=2",
        "graphau.stopping.min_epochs=1",
        "encoder_options.embedding_dim=8",
        "encoder_options.stopping.n_epochs=2",
        "policy_options.n_models=1",
        "policy_options.view_dim=4",
        "policy_options.graphau.stopping.n_epochs=2",
        "policy_options.graphau.stopping.min_epochs=1",
    )
]


def user_of(n: int) -> str:
    """Leading zeros, spaces and umlauts, as customers' numbers and names have them."""
    return f"Jörg Müller {n}" if n % 9 == 0 else f"{n:07}"


def exported(folder: Path) -> tuple[Path, Path]:
    """Orders as a German spreadsheet writes them, and an article list with gaps."""
    rng, start = random.Random(4), datetime(2026, 3, 1, 8)
    lines = ["Kunde;Artikel;Zeitpunkt;Preis;Anmerkung"]
    for n in range(N_USERS):
        at = start + timedelta(hours=n)
        own = rng.sample(range(n % 4, N_ITEMS, 4), 8) + rng.sample(range(N_ITEMS), 4)
        for item in dict.fromkeys(own):
            at += timedelta(hours=rng.randrange(1, 90))
            note = '"als Geschenk;\nbitte verpacken"' if rng.random() < 0.1 else ""
            price = f"{rng.randrange(5, 60)},{rng.randrange(100):02}"
            line = f"{user_of(n)};{item:05};{at:%d.%m.%Y %H:%M};{price};{note}"
            lines += [line, line] if rng.random() < 0.1 else [line]  # sent twice
    for _ in range(500):  # a crawler
        item = rng.randrange(N_ITEMS)
        lines.append(f"bot-1;{item:05};{start:%d.%m.%Y %H:%M};0,00;")
    lines.append("0000001;;01.04.2026 10:00;9,99;")  # no article
    orders, articles = folder / "Bestellungen.csv", folder / "Artikel.csv"
    orders.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    titles = ["Artikel;Titel;Warengruppe"]
    titles += [
        f"{n:05};{'' if n % 11 == 0 else f'Titel {n}'};{KINDS[n % 4]}" for n in range(N_ITEMS)
    ]
    titles.append("00003;Titel 3 (neu);Hörbuch|Jazz")  # renamed, and in two groups
    articles.write_text("\n".join(titles) + "\n", encoding="utf-8-sig")
    return orders, articles


@contextmanager
def served(guide: Path, log: Path) -> Iterator[Client]:
    """The service as a shop starts it."""
    command = [*COMMAND, "serve", "--guide", str(guide), "--port", "0"]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        key = process.stdout.readline().strip()
        try:
            with Client(_address(log), key) as client:
                yield client
        finally:
            process.terminate()


def _address(log: Path) -> str:
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found[0]
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def test_the_whole_way_from_a_shops_exports(cli: Command, here: Command, tmp_path: Path) -> None:
    orders, articles = exported(tmp_path)
    data, guide = tmp_path / "shop", tmp_path / "guide"
    outcome = here(
        "data", "import", str(orders), "--items", str(articles), "--user", "Kunde",
        "--item", "Artikel", "--time", "Zeitpunkt", "--title", "Titel",
        "--category", "Warengruppe", "--time-format", "%d.%m.%Y %H:%M",
        "--time-zone", "Europe/Berlin", "--bots", "drop",
        "--bot-day", "300", "--out", str(data), "--yes",
    )  # fmt: skip
    assert outcome.code == 0, outcome.stderr
    events = pl.read_parquet(data / "events.parquet")
    assert events["user_id"].n_unique() == N_USERS
    assert {"Jörg Müller 0", "0000001"} < set(events["user_id"])
    fit = ("guide", "fit", "--dataset", str(data), "--filter", "none", "--policy", "foresight")
    outcome = here(*fit, *FEW, "--out", str(guide))
    assert outcome.code == 0, outcome.stderr
    with served(guide, tmp_path / "log") as client:
        campaign(client)
    once = cli("work", "--guide", str(guide), "--once")
    assert once.code == 0, once.stderr
    store = tmp_path / "guide.store" / "campaigns.sqlite"
    checked = here("campaign", "rebuild", "--store", str(store), "--check")
    assert checked.code == 0, checked.stdout


def until_taken_up(client: Client) -> None:
    """Until decisions know the new article, within seconds."""
    end = time.monotonic() + 60
    while client.decide("nobody", candidates=("00099",)).title != "Kind of Blue":
        assert time.monotonic() < end
        time.sleep(0.1)


def arms_of(client: Client, campaign_id: str, n_users: int) -> dict[str, ArmCounts]:
    """Counts once all users are in them: a busy service counts now and then."""
    end = time.monotonic() + 60
    while True:
        arms = client.campaign(campaign_id).arms
        n_found = sum(arm.users for arm in arms.values())
        if n_found == n_users:
            return arms
        assert n_found < n_users
        assert time.monotonic() < end
        time.sleep(0.1)


def campaign(client: Client) -> None:
    """A campaign of some visits: known customers, a new one, a new article and one sold out."""
    said = Campaign(
        name="Mehr Jazz",
        goal=Goal(category="jazz"),
        audience=Audience(everybody=True),
        hold_out=0.2,
        rails=CampaignRails(plain_share=0.2, daily_cap=3),
    )
    users = [user_of(n) for n in range(20)] + ["neu@example.com"]
    client.items([
        Item(item_id="00099", title="Kind of Blue", categories=("Jazz",)),
        Item(item_id="00004", title="Titel 4", categories=("Jazz",), available=False),
    ])  # fmt: skip
    until_taken_up(client)
    made = client.create(said)
    client.start(made.id, without_forecast="the forecast is tested elsewhere")
    bought = EventReport(event_id="b1", user_id=users[-1], item_id="00008", kind="purchase")
    client.report([bought])
    for visit in range(4):
        for user in users:
            one = client.decide(user)
            assert one.decision_id
            assert one.item_id not in (None, "00004")
            client.report(
                EventReport(
                    event_id=f"{visit} {user} {kind}", user_id=user, kind=kind,
                    decision_id=one.decision_id, item_id=str(one.item_id),
                )
                for kind in ("impression", "accept" if (visit + len(user)) % 2 else "skip")
            )  # fmt: skip
    client.consent(users[1], guided=False)
    assert client.decide(users[1]).not_guided_because in ("opted_out", "hold_out")
    arms = arms_of(client, made.id, len(users))
    assert arms["guided"].guided > 0
    assert arms["hold-out"].guided == 0
