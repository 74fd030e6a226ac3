"""Processes killed under load, in small; benchmarks/faults.py does it often, and worse things."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace as Row

import pytest

from proactrec.store.campaign import Campaign
from proactrec.store.people import id_of

from .faults import BENCHMARKS, met, names
from .hosting import NOON


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("part", "faults", "n_restarts"),
    [
        ("kills-sqlite", ["instance", "worker"], 0),
        ("small-postgresql", ["instance", "worker", "postgresql"], 1),  # of both, one by one
    ],
)
def test_what_was_acknowledged_is_there_once_whatever_is_killed(
    part: str,
    faults: list[str],
    n_restarts: int,
    guide_folder: Callable[..., Path],
    tmp_path: Path,
) -> None:
    found = met(part, guide_folder(), tmp_path)
    assert names(found) == faults
    assert [one["failed"] for one in found.get("restarts", ())] == [{}] * n_restarts


def test_what_is_lost_doubled_or_exceeded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from faults_parts import check
    from faults_parts.load import Event, Seen

    kept = {"item_id": "i", "guided": True, "campaign_id": "c", "arm": "a", "target_id": "t"}
    row = {**kept, "user_id": "u", "number": 1, "not_guided_because": "", "at": NOON, "version": 1}
    one, decision = Row(**row, request_key="k"), id_of("default", "u", 1)
    seen = Seen()
    seen.decisions["k"] = "u", {**kept, "decision_id": decision, "not_guided_because": None}
    assert check._decisions([one], seen) == []
    assert check._decisions([], seen) == ["decision k is there 0 times"]
    assert check._decisions([one, one], seen) == ["decision k is there 2 times"]
    other = Row(**{**row, "item_id": "j"}, request_key="k")
    assert ["acknowledged was" in said for said in check._decisions([other], seen)] == [True]
    stray = Row(**row, request_key="x")
    assert check._decisions([one, stray], seen) == ["decision that nobody was told of: x"]
    assert check._back_in_time([one, Row(**{**row, "number": 2})]) == []
    earlier = Row(**{**row, "number": 2, "at": NOON - 1})
    assert len(check._back_in_time([one, earlier])) == 1

    seen.events["e"] = Event("u", decision, "i", "accept")
    event = Row(event_id="e", user_id="u", decision=1, item_id="i", kind="accept")
    assert check._events([event], seen) == []
    assert check._events([event, event], seen) == ["event e is there 2 times"]
    assert len(check._events([], seen)) == 1

    said = Campaign(name="one", goal={"items": ("t",)}, budget={"total": 1}, rails={"daily_cap": 1})
    used = check.counted([one, Row(**{**row, "number": 2})], {("c", 1): said})
    assert {bound.of for bound, n in used.items() if n > bound.most} == {"budgets", "daily_caps"}
