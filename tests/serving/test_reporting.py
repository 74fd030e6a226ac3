"""The report of a campaign, by the service and by the command line, which needs no service."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from proactrec.cli.campaign import app
from proactrec.errors import UnknownIdError
from proactrec.store.database import Database
from proactrec.store.outcomes import COLUMNS

from .hosting import TENANT, Shop
from .live import live
from .test_measuring import lived, seen

N_USERS = 60


def test_the_command_writes_a_page_and_what_it_stands_on(shop: Shop, tmp_path: Path) -> None:
    for k in range(0, N_USERS, 2):
        shop.groups(f"user {k:03}", "regulars", "others")
    measure = {"window_hours": 1, "segments": ("regulars",)}
    version = lived(shop, 0.3, n=N_USERS, measure=measure, label={"on_behalf_of": "<b>Acme"})
    url = shop.database.url.render_as_string(hide_password=False)
    given = ["--store", url, "--tenant", TENANT, "--campaign", version.campaign_id]
    done = CliRunner().invoke(app, ["report", *given, "--out", str(tmp_path / "deep" / "out")])
    assert done.exit_code == 0, done.output
    folder = tmp_path / "deep" / "out"
    assert sorted(path.name for path in folder.iterdir()) == [
        "course.parquet",
        "report.html",
        "sums.parquet",
    ]
    page = (folder / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "&lt;b&gt;Acme" in page
    assert "<b>Acme" not in page
    sums, brought = pl.read_parquet(folder / "sums.parquet"), seen(shop, version, 900)
    assert set(sums["groups"].explode().drop_nulls()) == {"regulars"}
    for arm in brought.arms:
        if arm.segment is None:
            own = sums.filter(pl.col("arm") == arm.arm)
            assert own["users"].sum() == arm.matured
            assert {name: own[name].sum() for name in COLUMNS} == arm.sums
    assert (sums["answered*answered"] >= sums["answered"]).all()
    course = pl.read_parquet(folder / "course.parquet")
    assert course["users"].sum() == course["decisions"].sum() == N_USERS
    assert course["at"].dtype == pl.Datetime("us", "UTC")
    wrong = [*given[:-1], "nobody", "--out", str(tmp_path)]
    assert isinstance(CliRunner().invoke(app, ["report", *wrong]).exception, UnknownIdError)


def test_the_service_tells_the_same_page(
    database: Database, guide_folder: Callable[..., Path]
) -> None:
    with live(database, guide_folder()) as service:
        campaign_id = service.running(name="<i>Jazz")
        service.client.decide("u01")
        page = service.client.report_page(campaign_id)
        assert page.startswith("<!doctype html>")
        assert "&lt;i&gt;Jazz" in page
        answer = service.ask("GET", f"/v1/campaigns/{campaign_id}/report")
        assert answer.headers["content-type"].startswith("text/html")
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        with pytest.raises(UnknownIdError):
            service.client.report_page("nobody")
