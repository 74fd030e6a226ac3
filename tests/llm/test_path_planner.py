"""LLM-IPP against a real server: what is asked, what becomes of the answers, how it guides."""

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.encoders.base import EncoderOptions
from proactrec.encoders.sasrec import SASRec
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.recorded import train_users
from proactrec.journeys import Journeys
from proactrec.llm.errors import LLMError
from proactrec.llm.path_planner import LLMIPP, LLMIPPOptions
from proactrec.policies.base import Candidates, View
from proactrec.ranking import penalties
from proactrec.simulator.world import World, WorldOptions

Serve = Callable[..., Any]
Make = Callable[..., LLMIPP]
N_USERS, N_ITEMS, N_ROUNDS, TARGET = 12, 16, 6, 12


def title(item: int) -> str:
    return f"Winter {item} on the Glacier (19{60 + item})"


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """User u has accepted items u % 3 + 1, u % 3 + 2 and u % 3 + 3 in train."""
    rows = [
        (f"u{user:02}", f"i{item:02}", time)
        for user in range(N_USERS)
        for time, item in enumerate([*(user % 3 + n for n in (1, 2, 3)), 15, 16])
    ]
    events = pl.DataFrame(
        rows + [("u99", f"i{item:02}", item) for item in range(1, N_ITEMS + 1)],
        ["user_id", "item_id", "timestamp"],
        orient="row",
    )
    ids = [f"i{item:02}" for item in range(1, N_ITEMS + 1)]
    lists = pl.Series([["all"]] * N_ITEMS, dtype=pl.List(pl.String))
    titles = [title(item) for item in range(1, N_ITEMS + 1)]
    catalogue = pl.DataFrame({"item_id": ids, "title": titles, "categories": lists})
    return Dataset.build("toy", Interactions(events), Catalogue(catalogue))


@pytest.fixture(scope="module")
def encoder() -> SASRec:
    options = EncoderOptions(embedding_dim=8, max_seq_len=4, n_layers=1)
    encoder = SASRec(N_ITEMS, options)
    rng = torch.Generator().manual_seed(3)
    encoder.start(0, F.normalize(torch.randn(N_ITEMS + 1, 8, generator=rng), dim=1))
    return encoder.eval()


@pytest.fixture
def planner(dataset: Dataset, encoder: SASRec, tmp_path: Path) -> Iterator[Make]:
    made: list[LLMIPP] = []

    def make(url: str, **options: Any) -> LLMIPP:
        chosen = LLMIPPOptions(
            url=url, **{"model": "tiny", "backoff_s": 0.01, "give_up_s": 2.0} | options
        )
        made.append(LLMIPP(encoder, dataset.items, chosen, tmp_path / "answers.sqlite"))
        return made[-1]

    yield make
    for one in made:
        one.close()


def journey(dataset: Dataset, refused: Iterable[int] = ()) -> Journeys:
    """User 0, who has items 1, 2 and 3, after these refusals."""
    one = torch.tensor([0])
    found = Journeys.begun(train_users(dataset), one, torch.tensor([TARGET]), N_ROUNDS)
    for item in refused:
        found = found.after(torch.tensor([item]), one > 0, one == 0)
    return found


def backbone(policy: LLMIPP, dataset: Dataset, without: set[int]) -> list[int]:
    """The encoder's best items for user 0."""
    scores = policy.encoder.score(policy.encoder.encode(torch.tensor([[0, 1, 2, 3]])))[0].tolist()
    left = [i for i in range(1, N_ITEMS + 1) if i not in without | {1, 2, 3}]
    return sorted(left, key=lambda i: -scores[i])


def test_names_become_items_and_the_target_follows(
    serve: Serve, planner: Make, dataset: Dataset
) -> None:
    names = [
        title(7),
        "the winter 5 on the glacier",  # normalised
        "Winter 9 on teh Glacier (1969)",  # fuzzy
        "Nobody Has Heard of This (1950)",  # hallucinated
        title(7),  # repeated
        title(2),  # known
        title(TARGET),  # the target itself, which comes by itself
    ]
    policy = planner(serve(says=json.dumps(names)).url)
    with torch.no_grad():
        planned = policy.place(journey(dataset))
    assert planned.shape == (1, N_ROUNDS)
    fills = backbone(policy, dataset, {7, 5, 9, TARGET})[:2]
    assert planned[0].tolist() == [7, 5, 9, TARGET, *fills]
    assert policy.notes()["paths"] == {
        "paths": 1,
        "unreadable": 0,
        "named": 7,
        "exact": 4,
        "normalised": 1,
        "fuzzy": 1,
        "hallucinated": 1,
        "repeated": 1,
        "known": 2,
        "filled": 2,
    }


def test_it_asks_for_as_many_items_as_rounds_are_left(
    serve: Serve, planner: Make, dataset: Dataset
) -> None:
    server = serve(plans={title(TARGET): [title(i) for i in range(4, 12)]})
    policy = planner(server.url, fill="stop")
    for number in range(1, N_ROUNDS + 1):
        with torch.no_grad():
            planned = policy.place(journey(dataset, range(4, 3 + number)))[0].tolist()
        left = N_ROUNDS - number
        skipped = number - 1
        assert planned == [0] * skipped + list(range(4 + skipped, 4 + skipped + left)) + [TARGET]
    assert server.counts()["n_requests"] == N_ROUNDS - 1  # in the last round there is no way left
    sizes = [line for line in server.lines() if line.startswith("Path of")]
    assert sizes == [f"Path of {n} names as a JSON list:" for n in range(N_ROUNDS - 1, 0, -1)]


def test_shorter_paths_end_earlier(serve: Serve, planner: Make, dataset: Dataset) -> None:
    server = serve(plans={title(TARGET): [title(i) for i in range(4, 12)]})
    planned = planner(server.url, fill="stop", path_len=3).place(journey(dataset))
    assert planned[0].tolist() == [4, 5, TARGET, 0, 0, 0]


def test_what_is_no_list_is_asked_once_more_and_then_there_is_no_path(
    serve: Serve, planner: Make, dataset: Dataset
) -> None:
    server = serve(says="I would rather not.")
    policy = planner(server.url)
    with torch.no_grad():
        planned = policy.place(journey(dataset))[0].tolist()
    assert planned == backbone(policy, dataset, {TARGET})[:N_ROUNDS]
    assert server.counts()["n_requests"] == 2
    counts = policy.notes()["paths"]
    assert (counts["paths"], counts["unreadable"], counts["named"]) == (1, 1, 0)
    assert counts["filled"] == N_ROUNDS


def test_what_may_not_be_shown_gives_way(serve: Serve, planner: Make, dataset: Dataset) -> None:
    policy = planner(serve(says=json.dumps([title(7), title(5)])).url, fill="stop")
    begun = journey(dataset)
    penalty = penalties(dataset.before("train"), np.array([0]), N_ITEMS + 1, torch.device("cpu"))
    penalty[0, 7] = -torch.inf
    seen = View(begun, policy.place(begun), Candidates(penalty), begun.rounds_left)
    assert policy.decide(seen).item_idx.tolist() == [5]


def played(policy: LLMIPP, dataset: Dataset, items: torch.Tensor) -> GuidanceLog:
    """Guidance of everybody toward the target; user vectors lie near item 1."""
    users = F.normalize(items[1] + 0.1 * items[2], dim=0).repeat(dataset.n_users, 1)
    options = WorldOptions(world="medium", owners="drop", after_success="stop")
    world = World(dataset, users, items, np.array([TARGET]), options, seed=2)
    rounds = RolloutOptions(n_rounds=N_ROUNDS)
    return rollout(policy, world, dataset, np.array([TARGET]), rounds, n_workers=2).log


@pytest.fixture(scope="module")
def ring() -> torch.Tensor:
    """Items along a quarter of a circle: neighbours by number are near, 1 and 12 far apart."""
    angle = torch.linspace(0, torch.pi / 2, N_ITEMS)
    items = torch.stack([angle.cos(), angle.sin()], 1)
    return torch.cat([torch.zeros(1, 2), items])


@pytest.mark.parametrize("replan", ["on_reject", "never"])
def test_it_plans_anew_after_a_refusal_or_never(
    serve: Serve, planner: Make, dataset: Dataset, ring: torch.Tensor, replan: str
) -> None:
    server = serve(plans={title(TARGET): [title(i) for i in range(4, 12)]})
    policy = planner(server.url, replan=replan)
    log = played(policy, dataset, ring)
    refused = log.is_shown & ~log.accepted
    assert refused[:, :-2].any()
    n_paths = policy.notes()["paths"]["paths"]
    if replan == "never":
        assert n_paths == len(log.user_idx)
        first_way = log.item_idx[log.user_idx == 0][0]
        assert first_way[: N_ROUNDS - 1].tolist() == [4, 5, 6, 7, 8]
    else:  # after a refusal in the last round but one, only the target is left: nothing to ask
        assert n_paths == len(log.user_idx) + refused[:, : N_ROUNDS - 2].sum()


def test_a_path_by_nearness_gains_interest_and_more_than_no_path(
    serve: Serve, planner: Make, dataset: Dataset, ring: torch.Tensor
) -> None:
    server = serve(plans={title(TARGET): [title(i) for i in range(4, 12)]})
    led = played(planner(server.url), dataset, ring)
    server.kill()
    server.start(says="No.", plans={})
    left_alone = played(planner(server.url, model="other"), dataset, ring)
    gains = [(log.interest[:, -1] - log.interest[:, 0]).mean() for log in (led, left_alone)]
    assert gains[0] > 0
    assert gains[0] > gains[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("own")
    lines = [f"{u},{(u * 5 + t * 3) % 16},{t}" for u in range(24) for t in range(6)]
    (folder / "events.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(lines) + "\n")
    lines = [f"{i},{title(i)},all" for i in range(16)]
    (folder / "items.csv").write_text("item_id,title,categories\n" + "\n".join(lines) + "\n")
    return {name: folder / f"{name}.csv" for name in ("events", "items")}


def run(files: dict[str, Path], store: Path, **policy: Any) -> Experiment:
    once = {"n_epochs": 1}
    options = ExperimentOptions().changed(
        {
            "dataset.name": "csv",
            "dataset.filter": "none",
            "dataset.table": files,
            "target_items": ("12",),
            "policy": "llm-ipp",
            "policy_options": {"model": "tiny", "backoff_s": 0.01, **policy},
            "graphau.embedding_dim": 8,
            "graphau.stopping": once,
            "encoder_options": {"embedding_dim": 8, "max_seq_len": 8, "stopping": once},
            "protocol.rollout.n_rounds": 4,
        }
    )
    return Experiment(options, store)


def test_a_run_replays_to_the_same_figures(
    serve: Serve, files: dict[str, Path], tmp_path: Path
) -> None:
    server = serve(plans={title(12): [title(i) for i in range(4, 12)]})
    first = run(files, tmp_path / "store", url=server.url).result()
    assert first.policy_notes["paths"]["exact"] > 0
    assert first.usage["policy"].n_requests == server.counts()["n_requests"] > 0
    assert "url" not in first.policy_options
    server.kill()
    answers = str(tmp_path / "store" / "answers.sqlite")
    again = run(files, tmp_path / "other", replay=True, cache=answers).result()
    assert again.usage["policy"].n_requests == 0
    for name in ("metrics", "outcome", "policy_options", "policy_notes"):
        assert getattr(again, name) == getattr(first, name)
    with pytest.raises(LLMError, match="replay may not ask"):
        run(files, tmp_path / "third", replay=True).result()


def test_protocols_say_whether_it_plans_anew(files: dict[str, Path], tmp_path: Path) -> None:
    common = run(files, tmp_path)
    official = Experiment(common.options.changed({"protocol.replan": "never"}), tmp_path)
    kinds = [e.fitting.policy_options(LLMIPPOptions).replan for e in (common, official)]
    assert kinds == ["on_reject", "never"]
