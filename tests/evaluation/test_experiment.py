"""A whole run on a tiny data set of the user's own: every protocol, reuse, switches."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proactrec.cli.results import save_report
from proactrec.data.load import DatasetOptions
from proactrec.data.sources.table import TableOptions
from proactrec.errors import ArtefactError, InvalidInputError, UnknownIdError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.protocols import PROTOCOLS, Protocol
from proactrec.graphau import GraphAUOptions
from proactrec.guidance.log import GuidanceLog
from proactrec.guidance.rails import RailsOptions, groups_of
from proactrec.measurement.results import RunResult
from proactrec.policies.foresight import Foresight
from proactrec.training import StoppingOptions

Maker = Callable[..., ExperimentOptions]
N_USERS, N_ITEMS = 40, 30


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TableOptions:
    """Even users like even items, odd users odd ones; items 1 … 10 are of the category Song."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    events = ["user_id,item_id,timestamp"]
    for user in range(N_USERS):
        own = [i for i in range(1, N_ITEMS + 1) if i % 2 == user % 2]
        items = [*rng.permutation(own)[:7].tolist(), *rng.permutation(N_ITEMS)[:2].tolist()]
        events += [f"{user},{i or 30},{t}" for t, i in enumerate(dict.fromkeys(items))]
    kinds = ["Song" if i <= 10 else "Film" for i in range(1, N_ITEMS + 1)]
    items = [f"{i},title {i},{kind}" for i, kind in enumerate(kinds, start=1)]
    paths = [folder / "events.csv", folder / "items.csv"]
    paths[0].write_text("\n".join(dict.fromkeys(events)) + "\n")
    paths[1].write_text("\n".join(["item_id,title,categories", *items]) + "\n")
    return TableOptions(events=paths[0], items=paths[1])


@pytest.fixture(scope="module")
def options(files: TableOptions) -> Maker:
    def make(protocol: str = "common", **changes: Any) -> ExperimentOptions:
        base = PROTOCOLS[protocol]
        small = Protocol(
            **{
                **base.model_dump(),
                "targets": {**base.targets.model_dump(), "n_targets": 4},
                "intents": {**base.intents.model_dump(), "n_intents": 3},
                "rollout": {**base.rollout.model_dump(), "n_rounds": 5},
                "metrics": {**base.metrics.model_dump(), "rounds": (2, 5)},
            }
        )
        few = {"n_epochs": 2, "patience": 2}
        encoder = {"embedding_dim": 8, "max_seq_len": 6, "stopping": few}
        if changes.get("encoder", "iclrec") == "iclrec":
            encoder["n_intents"] = 3
        values = {
            "dataset": DatasetOptions(name="csv", filter="none", table=files),
            "category": "song",
            "graphau": GraphAUOptions(embedding_dim=8, stopping=StoppingOptions(n_epochs=3)),
            "protocol": small,
            "encoder_options": encoder,
        }
        return ExperimentOptions(**{**values, **changes})

    return make


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that vectors and encoders are trained once."""
    return tmp_path_factory.mktemp("store")


VOLATILE = ("seconds", "peak_memory_mb", "versions", "threads")


def comparable(result: RunResult) -> str:
    kept = {name: value for name, value in result.content().items() if name not in VOLATILE}
    return json.dumps(kept, sort_keys=True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_run_gives_figures_and_a_second_one_reuses_them(
    protocol: str, options: Maker, store: Path
) -> None:
    first = Experiment(options(protocol), store)
    result = first.result()
    told: list[str] = []
    again = Experiment(
        options(protocol), store, progress=lambda stage, *_, **__: told.append(stage)
    )
    assert comparable(again.result()) == comparable(result)
    assert again.seconds.items() <= first.seconds.items()  # of what was read again
    assert told == []  # nothing was trained or played again
    assert result.protocol == protocol
    assert len(result.targets) == 4
    assert all(1 <= target.item_idx <= 10 for target in result.targets)
    assert set(result.metrics["hr"]) == {2, 5}
    n_owners = result.pairs.n_owners_left_out
    assert result.pairs.n_pairs == 4 * N_USERS - n_owners
    assert (n_owners > 0) == (first.protocol.world.owners == "drop")
    assert RunResult(**json.loads(json.dumps(result.content()))) == result
    assert ExperimentOptions(**result.options) == first.options


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_run_is_told_again_under_the_rules_that_it_was_played_by(
    protocol: str, options: Maker, store: Path
) -> None:
    """Padding, and whether what was refused may come again, are the protocol's."""
    run = Experiment(options(protocol), store)
    log, replay, rows = run.log, run.replay(), np.arange(len(run.log.user_idx))
    for number in range(1, log.n_rounds + 1):
        decided = replay.decide(rows, number).item_idx.numpy()
        is_shown = log.is_shown[:, number - 1]
        np.testing.assert_array_equal(decided[is_shown], log.item_idx[is_shown, number - 1])


def test_files_hold_what_the_run_says(options: Maker, store: Path) -> None:
    run = Experiment(options(), store)
    log = GuidanceLog.load(run.log_path)
    np.testing.assert_array_equal(log.item_idx, run.log.item_idx)
    assert run.trace.vectors.shape == (10, 6, 8)
    assert set(run.fitting.next_item["test"]) == {"iclrec", "popularity"}
    answers = run.dataset.answers("validation")
    users, items = (x.double().numpy() for x in run.interest)
    cosine = (users * items[answers]).sum(1)[answers > 0]
    assert run.fitting.interest_spread["cosine"]["held_out"]["mean"] == pytest.approx(cosine.mean())
    gain = (log.interest[:, -1] - log.interest[:, 0]).mean()
    assert run.result().metrics["ioi"][5].mean == pytest.approx(gain)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_report_counts_pairs_as_the_log_does(
    protocol: str, options: Maker, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proactrec.report.drawing.svg", lambda _figure: "")
    run = Experiment(options(protocol), store)
    page, log = save_report(tmp_path, run, run.result()).read_text(), run.log
    told = {what: int(n) for n, what in re.findall(r"<b>(\d+)</b> ([^<]+)<", page)}
    n_owners = 4 * N_USERS - len(log.user_idx) + int((~log.is_counted).sum())
    assert n_owners > 0
    assert told["pairs left out or not moved: the user had the target"] == n_owners
    assert told["pairs whose user accepted the target"] == log.reached.sum()
    left = (log.item_idx[:, -1] == 0) & ~log.reached
    assert told["pairs with nothing left to show"] == left.sum()


def test_runs_in_a_fresh_store_agree(options: Maker, store: Path, tmp_path: Path) -> None:
    first, other = (Experiment(options(), folder).result() for folder in (store, tmp_path))
    assert comparable(first) == comparable(other)


def test_policies_share_all_that_comes_before_them(options: Maker, store: Path) -> None:
    runs = [Experiment(options(policy=name), store) for name in ("itmprec", "ipg", "next-item")]
    logs = [run.log for run in runs]
    assert len({run.fitting.encoder_stage.key for run in runs}) == 1
    assert len({run.log_path for run in runs}) == 3
    assert all((log.target_idx == logs[0].target_idx).all() for log in logs)
    # The same users start alike, whoever guides them.
    assert all((log.interest[:, 0] == logs[0].interest[:, 0]).all() for log in logs)


def test_without_iis_is_ipg(options: Maker, store: Path) -> None:
    without = Experiment(options(without=("IIS",)), store)
    ipg = Experiment(options(policy="ipg"), store)
    assert without.protocol.itmprec.intent_weight == 0
    np.testing.assert_array_equal(without.log.item_idx, ipg.log.item_idx)
    np.testing.assert_array_equal(without.log.accepted, ipg.log.accepted)


@pytest.mark.parametrize(("protocol", "pool"), [("common", 10), ("official", N_ITEMS)])
def test_without_p_takes_random_targets(
    protocol: str, pool: int, options: Maker, store: Path
) -> None:
    run = Experiment(options(protocol, without=("P",)), store)
    assert run.protocol.targets.mode == run.protocol.ablated_target_mode
    assert np.isnan(run.targets.score).all()
    assert (run.targets.item_idx <= pool).all()
    listed = run.fitting.target_list()
    assert [target["score"] for target in listed] == [None] * 4


def test_without_tiac_everybody_moves_alike(options: Maker, store: Path) -> None:
    whole = Experiment(options("official"), store)
    without = Experiment(options("official", without=("TIAC",)), store)
    assert (whole.protocol.world.receptivity, without.protocol.world.receptivity) == (
        "policy",
        "constant",
    )
    assert (whole.log.interest != without.log.interest).any()
    common = Experiment(options(without=("TIAC",)), store)
    assert common.log_path == Experiment(options(), store).log_path  # no TIAC there anyway


def test_given_targets_replace_the_choice(options: Maker, store: Path) -> None:
    run = Experiment(options(target_items=("25", "3"), category=None), store)
    result = run.result()
    assert [target.item_id for target in result.targets] == ["25", "3"]
    assert [target.title for target in result.targets] == ["title 25", "title 3"]
    assert result.category is None


def test_some_users_are_the_same_for_every_policy(options: Maker, store: Path) -> None:
    everybody = Experiment(options(), store).log
    few = [Experiment(options(n_users=7, policy=name), store).log for name in ("itmprec", "ipg")]
    users = np.unique(few[0].user_idx)
    assert len(users) == 7
    np.testing.assert_array_equal(users, np.unique(few[1].user_idx))
    rows = np.isin(everybody.user_idx, users)
    np.testing.assert_array_equal(everybody.item_idx[rows], few[0].item_idx)
    with pytest.raises(InvalidInputError, match="n_users must be at most 40, got 41"):
        _ = Experiment(options(n_users=41), store).log


def test_intervals_are_over_those_who_were_guided(options: Maker, store: Path) -> None:
    """One user alone varies with nobody, however many others there are."""
    run = Experiment(options(n_users=1), store)
    assert len(np.unique(run.log.user_idx)) == 1
    for by_round in run.figures["metrics"].values():
        for figure in by_round.values():
            assert figure["low"] == pytest.approx(figure["mean"])
            assert figure["high"] == pytest.approx(figure["mean"])


def test_rails_are_part_of_a_run_only_where_they_are_on(options: Maker, store: Path) -> None:
    usual = Experiment(options(), store)
    manifest = json.loads((usual.log_path.parent / "manifest.json").read_text())
    assert "rails" not in manifest["inputs"]  # earlier runs keep their names
    assert Experiment(options(rails=RailsOptions()), store).log_path == usual.log_path
    assert usual.result().rails == {}
    run = Experiment(options(rails=RailsOptions(guided_budget=0)), store)
    plain = Experiment(options(policy="next-item"), store)
    assert run.log_path != usual.log_path
    np.testing.assert_array_equal(run.log.item_idx, plain.log.item_idx)
    result = run.result()
    assert result.rails == {"guided_budget": 0}
    told = result.policy_notes["rails"]
    assert told["decisions"] == told["budget_spent"] == run.log.is_shown.sum()


def test_ids_of_nobody_who_opted_out_are_counted(options: Maker, store: Path) -> None:
    """Every real list holds some: they stop no run, and change nothing in it."""
    known, listed = (
        Experiment(options(rails=RailsOptions(opt_out=ids)), store)
        for ids in (("3",), ("3", "nobody", "no one"))
    )
    told, usual = (run.result().policy_notes["rails"] for run in (listed, known))
    assert told == {**usual, "unknown_opt_outs": 2}
    assert usual["opted_out"] > 0
    np.testing.assert_array_equal(listed.log.item_idx, known.log.item_idx)


@pytest.mark.parametrize("most", [0.0, 0.6])
def test_groups_say_what_guidance_was_to_each(options: Maker, store: Path, most: float) -> None:
    rails = RailsOptions(guided_pairs=most, equal_groups="activity")
    run, plain = (
        Experiment(options(rails=rails), store),
        Experiment(options(policy="next-item"), store),
    )
    told, (names, group) = run.result().groups, groups_of(rails, run.dataset)
    assert set(told) == {names[g] for g in np.unique(group)}
    for name, figures in told.items():
        rows = group[run.log.user_idx] == names.index(name)
        hr = run.log.accepted[rows].sum() / run.log.is_shown[rows].sum()
        usual = plain.log.accepted[rows].sum() / plain.log.is_shown[rows].sum()
        ioi = (run.log.interest[rows, -1] - run.log.interest[rows, 0]).mean()
        found = (figures.hr, figures.clicks_lost, figures.ioi)
        assert found == pytest.approx((hr, 1 - hr / usual, ioi))
        assert figures.n_pairs == rows.sum()
        assert figures.n_users == len(np.unique(run.log.user_idx[rows]))
        if not most:
            assert (figures.share_guided, figures.clicks_lost) == (0, 0)
    shares = [figures.share_guided for figures in told.values()]
    assert max(shares) <= 1.1 * min(shares)
    assert "groups" not in plain.result().content()
    ours = run.log.item_idx != plain.log.item_idx
    assert ours.any() == (most > 0)


def test_rails_train_an_encoder_for_a_policy_without_one(options: Maker, store: Path) -> None:
    run = Experiment(options(policy="popular").changed({"rails.relevance_floor": 0.2}), store)
    result = run.result()
    assert result.encoder == "iclrec"
    assert set(result.next_item) == {"validation", "test"}
    assert Experiment(options(policy="popular"), store).result().encoder is None


def test_rails_against_a_target_stop_before_anything_is_trained(
    options: Maker, tmp_path: Path
) -> None:
    run = Experiment(
        options(target_items=("25", "3"), rails=RailsOptions(protected_categories=("Song",))),
        tmp_path,
    )
    with pytest.raises(InvalidInputError, match="target 'title 3' is of the category 'Song'"):
        _ = run.log
    assert not list(tmp_path.iterdir())


def test_another_seed_is_another_run(options: Maker, store: Path) -> None:
    first, other = (Experiment(options(seed=seed), store) for seed in (0, 2**32 - 1))
    assert first.fitting.interest_stage.key != other.fitting.interest_stage.key
    assert comparable(first.result()) != comparable(other.result())


def test_trained_encoder_can_be_brought_along(options: Maker, store: Path, tmp_path: Path) -> None:
    usual = Experiment(options(encoder="sasrec"), store)
    usual.fitting.encoder.save(tmp_path / "mine", usual.dataset)
    own = Experiment(options(encoder="sasrec"), store, encoder_folder=tmp_path / "mine")
    np.testing.assert_array_equal(own.log.item_idx, usual.log.item_idx)
    assert "encoder" not in own.seconds  # none was trained
    assert own.result().next_item == usual.result().next_item
    (tmp_path / "mine" / "encoder.safetensors").write_bytes(b"")
    broken = Experiment(options(encoder="sasrec"), store, encoder_folder=tmp_path / "mine")
    with pytest.raises(
        ArtefactError, match=re.escape(f"encoder {tmp_path / 'mine'} can't be read")
    ):
        broken.result()


def test_an_encoder_comes_from_a_file_of_its_own(
    options: Maker, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    text = (
        "from proactrec.encoders.sasrec import SASRec\n\n\nclass Mine(SASRec):\n    name = 'mine'\n"
    )
    path.write_text(text)
    mine = Experiment(options(encoder=str(path)), store)
    assert mine.fitting.encoder.name == "mine"
    assert set(mine.fitting.next_item["test"]) == {"mine", "popularity"}
    assert mine.result().encoder == str(path)
    again = Experiment(options(encoder=str(path)), store)
    assert again.log_path == mine.log_path
    path.write_text(text + "# changed\n")
    changed = Experiment(options(encoder=str(path)), store)
    assert changed.fitting.encoder_stage.key != mine.fitting.encoder_stage.key
    assert changed.fitting.interest_stage.key == mine.fitting.interest_stage.key


def test_damaged_stage_is_refused(options: Maker, tmp_path: Path) -> None:
    first = Experiment(options(), tmp_path)
    first.interest  # noqa: B018 - makes the stage
    path = first.fitting.interest_stage.folder / "vectors.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        ArtefactError, match=re.escape("is damaged (['vectors.safetensors'] changed)")
    ):
        Experiment(options(), tmp_path).result()


def test_interrupted_training_is_resumed_in_the_store(
    options: Maker, store: Path, tmp_path: Path
) -> None:
    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "iclrec":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Experiment(options(), tmp_path, progress=stop).result()
    told: list[tuple[str, int]] = []
    resumed = Experiment(
        options(), tmp_path, progress=lambda stage, done, *_, **__: told.append((stage, done))
    )
    assert comparable(resumed.result()) == comparable(Experiment(options(), store).result())
    assert [done for stage, done in told if stage == "iclrec"] == [2]
    assert not any(stage == "GraphAU" for stage, _ in told)


def test_a_policy_may_stay_on_the_cpu(
    options: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proactrec.fitting.device.usable_device", lambda name: "cuda")
    for name in ("itmprec", "foresight", "irn"):
        assert Experiment(options(policy=name), tmp_path, device="auto").device == "cuda"
    monkeypatch.setattr(Foresight, "uses_gpu", False)
    assert Experiment(options(policy="foresight"), tmp_path, device="auto").device == "cpu"
    with pytest.raises(InvalidInputError, match="device must be cpu for the policy foresight"):
        Experiment(options(policy="foresight"), tmp_path, device="cuda")


def test_mistakes_are_told_before_work_starts(options: Maker, tmp_path: Path) -> None:
    for changes, wanted in [
        ({"policy": "x"}, "policy 'x' does not exist"),
        ({"encoder": "x"}, "encoder 'x' does not exist"),
    ]:
        with pytest.raises(UnknownIdError, match=re.escape(wanted)):
            Experiment(options(**changes), tmp_path / "store")
    with pytest.raises(InvalidInputError, match=re.escape("got 'tpu9'")):
        Experiment(options(), tmp_path / "store", device="tpu9")
    unnamed = Experiment(options(category=None), tmp_path / "store")
    with pytest.raises(
        InvalidInputError, match=re.escape("category must be named for csv; there are Film, Song")
    ):
        unnamed.fitting.category  # noqa: B018 - raises
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "goal", [{"target": "chosen"}, {"target": "nearest"}, {"target": "chosen", "chooser": "ipg"}]
)
def test_a_goal_gives_every_user_one_journey(
    goal: dict[str, str], options: Maker, store: Path, tmp_path: Path
) -> None:
    """To any item of the category, whatever the number of targets; figures, report and replay."""
    run = Experiment(options("campaign", goal=goal), store)
    result, log, rows = run.result(), run.log, np.arange(N_USERS)
    assert log.user_idx.tolist() == rows.tolist()
    assert {target.item_idx for target in result.targets} == set(range(1, 11))
    assert set(np.unique(log.led_to)) <= set(range(1, 11))
    assert (np.diff(log.led_to, axis=1) != 0).any() == (goal["target"] == "chosen")
    hits = (log.accepted & log.of_goal).sum(1)
    assert result.metrics["targets_accepted"][5].mean == pytest.approx(hits.mean())
    assert result.metrics["target_accepted"][5].mean == pytest.approx((hits > 0).mean())
    np.testing.assert_array_equal(run.replay().decide(rows, 3).item_idx, log.item_idx[:, 2])
    assert "whichever item of the goal suits" in save_report(tmp_path, run, result).read_text()


def test_a_goal_is_part_of_what_a_run_is(options: Maker, store: Path) -> None:
    runs = [
        Experiment(options("campaign", **goal), store)
        for goal in ({}, {"goal": {"target": "chosen"}}, {"goal": {"target": "nearest"}})
    ]
    assert len({run.log_path for run in runs}) == 3
    assert "goal" not in ExperimentOptions().model_dump()
    with pytest.raises(InvalidInputError, match=re.escape("goal.chooser needs goal.target chosen")):
        options(goal={"target": "nearest", "chooser": "foresight"})
    rails = RailsOptions(protected_categories=("Song",))
    closed = Experiment(options(goal={"target": "chosen"}, rails=rails), store)
    with pytest.raises(InvalidInputError, match="protected_categories"):
        _ = closed.targets
