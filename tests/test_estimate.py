"""What a size is said to cost: formulas by hand, monotone, told, and near what is taken."""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from proactrec.cli.estimate import duration
from proactrec.cli.main import main
from proactrec.errors import DataError, InvalidInputError
from proactrec.estimating import memory
from proactrec.estimating.estimate import advice, estimated
from proactrec.estimating.factors import FACTORS
from proactrec.estimating.kernels import KERNELS, PASSES
from proactrec.estimating.memory import Part, at_most
from proactrec.estimating.rates import Rates, free_memory
from proactrec.estimating.size import Size
from proactrec.estimating.stages import stages
from proactrec.files import write_json
from proactrec.threads import n_allowed

GIB = 2**30
RATES = Rates(products=8e10, bandwidth=1e10, bandwidth_together=1.5e10, cores=2, memory=8 * GIB)
BASE = {"users": 20_000, "items": 20_000, "targets": 2, "rounds": 10, "interactions": 800_000}
BENCHMARKS, RESULTS = (Path(__file__).parents[1] / name for name in ("benchmarks", "docs/results"))


def test_the_most_is_what_is_held_and_the_largest_of_the_rest() -> None:
    held = Part("a", "held", "", 100), Part("b", "held", "", 10)
    turns = Part("c", "by turns", "", 5), Part("d", "by turns", "", 6)
    assert at_most(held) == 110
    assert at_most((*held, *turns)) == 121
    assert at_most((*held, *turns, Part("e", "once", "", 7))) == 121
    assert at_most((*held, *turns, Part("e", "once", "", 7), Part("f", "once", "", 12))) == 122


def test_parts_of_a_million_are_what_its_page_says() -> None:
    # docs/results/million.md: 256 columns in 3 views, histories of 20, blocks of 1.5 million scores
    mib = 2**20
    parts = (
        (memory.user_vectors(1_000_000, 256), 977),
        (memory.item_vectors(20_001, 256), 59),
        (memory.users(1_000_000, 20), 207),
        (memory.hashing(1_000_000, 20), 76),
        (memory.block(1_500_000), 80),
        (memory.learning(5, 1_000_000), 229),
    )
    assert [round(part.n_bytes / mib) for part, _ in parts] == [expected for _, expected in parts]


@pytest.mark.parametrize("policy", PASSES)
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("users", (50_000, 50_001, 100_000, 10**6)),
        ("items", (20_000, 20_001, 40_000)),
        ("items", (50_000, 50_001, 10**6, 10**7)),
        ("targets", (1, 2, 10)),
        ("rounds", (1, 10, 40)),
        ("dim", (16, 64, 128)),
        ("interactions", (400_000, 800_000, 4_000_000)),
        ("epochs", (1, 100)),
    ],
)
def test_more_costs_no_less(policy: str, name: str, values: tuple[int, ...]) -> None:
    base = {**BASE, "policy": policy}
    if name == "users":
        del base["interactions"]  # 50 a user: else histories grow shorter, and meet fewer items
    found = [estimated(Size(**{**base, name: n}), RATES) for n in values]
    for less, more in pairwise(found):
        assert less.seconds < more.seconds
        assert less.largest.memory <= more.largest.memory
        for before, after in zip(less.stages, more.stages, strict=True):
            assert before.memory <= after.memory
            assert before.seconds <= after.seconds


@pytest.mark.parametrize("policy", PASSES)
def test_what_is_turned_turns_the_right_way(policy: str) -> None:
    size = Size(**{**BASE, "policy": policy, "users": 1_000_000, "interactions": 20_000_000})

    def rollout(**changes: int) -> Any:
        return estimated(size.model_copy(update=changes), RATES).stage("rollout, a round")

    assert rollout(shards=10).memory < rollout().memory
    assert rollout(shards=10).seconds == rollout().seconds
    assert rollout(threads=1).memory <= rollout(threads=2).memory
    assert rollout(threads=2).seconds < rollout(threads=1).seconds
    assert rollout().seconds == rollout(threads=2).seconds  # one process has all cores
    assert rollout(processes=2).seconds == rollout().seconds
    assert rollout(processes=2).memory > rollout().memory  # the guide twice
    assert rollout(processes=8).seconds == rollout(processes=2).seconds  # there are two cores


def test_a_roofline_takes_the_longer_of_two_and_its_factor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = Size(users=1000, items=999, targets=1, rounds=1, policy="next-item")
    monkeypatch.setitem(FACTORS, "scores", 3.0)
    monkeypatch.setitem(FACTORS, "reading", 2.0)
    found = estimated(size, RATES)
    (reading,) = found.stage("read data").kernels
    assert reading.seconds == pytest.approx(2 * 50_000 * 200 / 1e10)
    scores = next(k for k in found.stage("encoder, an epoch").kernels if k.name == "scores")
    assert scores.operations == 1000 * 2 * 64 * 1000
    assert scores.n_bytes == 1000 * 16 * 1000
    assert scores.seconds == pytest.approx(3 * max(1.28e8 / 8e10, 1.6e7 / 1e10))
    # On two cores: twice the products, but the memory of both together.
    ranked = next(k for k in found.stage("rollout, its start").kernels if k.name == "scores")
    assert ranked.seconds == pytest.approx(3 * max(1.28e8 / 16e10, 1.6e7 / 1.5e10))


def test_every_kernel_has_a_factor() -> None:
    assert FACTORS.keys() == KERNELS.keys()
    sizes = {"users": 9, "items": 9}, {"users": 10**5, "items": 10**5}
    used = {
        name
        for policy in PASSES
        for size in sizes
        for stage in stages(Size(**size, policy=policy))
        for name in stage.counts
    }
    assert used == KERNELS.keys()


def test_factors_are_those_of_their_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from shared.compact import read_figures

    rows = read_figures(RESULTS / "estimate-factors.json")["rows"]
    assert {row["kernel"]: float(f"{row['factor']:.3g}") for row in rows} == FACTORS


def test_what_does_not_fit_is_told_what_would() -> None:
    size = Size(users=2_000_000, items=20_000, rounds=40, policy="itmprec", interactions=10_000_000)
    in_parts = estimated(size.model_copy(update={"shards": 5}), RATES)
    tight = RATES.model_copy(update={"memory": in_parts.largest.memory})
    found = estimated(size, tight)
    assert not found.fits
    told = advice(found)
    assert told
    for one in told:
        form = re.fullmatch(r"--(\w+) (\d+): ([\d.]+) GiB", one)
        assert form is not None
        name, value, gib = form.groups()
        changed = estimated(size.model_copy(update={name: int(value)}), tight)
        assert changed.fits
        assert changed.largest.memory / GIB == pytest.approx(float(gib), abs=0.05)
    assert any(one.startswith("--shards") for one in told)
    assert advice(estimated(size, RATES.model_copy(update={"memory": 10**13}))) == []
    hopeless = advice(estimated(size, RATES.model_copy(update={"memory": 10**8})))
    assert hopeless[0].startswith("a machine with ")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"users": 0}, "Size.users must be at least 1, got 0"),
        ({"items": -5}, "Size.items must be at least 1, got -5"),
        ({"targets": 30}, "targets must be at most the 20 items, got 30"),
        ({"interactions": 201}, "every item once: 200, got 201"),
        ({"policy": "irn"}, "Size.policy must be 'foresight', 'itmprec', 'ipg' or"),
        ({"processes": 0}, "Size.processes must be at least 1, got 0"),
        ({"rounds": 2.5}, "Size.rounds must be a whole number, got 2.5"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(said)):
        Size(**{"users": 10, "items": 20, **values})


def test_this_machine_is_measured() -> None:
    found = Rates.measured()
    assert found.products > 1e8
    assert found.bandwidth_together >= found.bandwidth > 1e7
    assert found.cores == n_allowed()
    assert 0 < found.memory <= free_memory() * 2


def test_free_memory_is_what_the_tightest_leaves(tmp_path: Path) -> None:
    meminfo, outer, inner = tmp_path / "meminfo", tmp_path / "outer", tmp_path / "inner"
    meminfo.write_text("MemTotal: 9000000 kB\nMemFree: 1 kB\nMemAvailable: 4000000 kB\n")
    assert free_memory(meminfo, []) == 4_096_000_000
    for folder, most in ((outer, "3000000000"), (inner, "max")):
        folder.mkdir()
        (folder / "memory.max").write_text(most + "\n")
        (folder / "memory.current").write_text("1000000000\n")
    assert free_memory(meminfo, [outer, inner]) == 2_000_000_000
    assert free_memory(meminfo, [tmp_path / "none", inner]) == 4_096_000_000
    assert free_memory(tmp_path / "nothing", []) > 2**27  # elsewhere: all there is


def test_rates_are_read_from_an_estimate_or_by_themselves(tmp_path: Path) -> None:
    own, estimate = tmp_path / "rates.json", tmp_path / "estimate.json"
    write_json(own, RATES.model_dump())
    write_json(estimate, estimated(Size(users=5, items=5), RATES).content())
    assert Rates.load(own) == Rates.load(estimate) == RATES


@pytest.mark.parametrize("text", ["", "[]", '{"products": 1}', '{"rates": {"products": "fast"}}'])
def test_a_file_without_rates_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rates.json"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(f"{path} can't be read as rates")):
        Rates.load(path)


def said(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, on the machine `RATES`."""
    write_json(tmp_path / "rates.json", RATES.model_dump())
    rates = ["--rates", str(tmp_path / "rates.json")]
    monkeypatch.setattr(sys, "argv", ["proactrec", "estimate", *arguments.split(), *rates])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    return int(end.value.code or 0), told.out, told.err


def test_json_says_it_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = "--users 100000 --items 20000 --policy itmprec --json"
    code, out, _ = said(arguments, tmp_path, monkeypatch, capsys)
    content = json.loads(out)
    assert code == 0
    assert content.keys() == {
        *("size", "rates", "seconds", "memory_bytes", "largest_stage", "fits", "advice", "stages")
    }
    assert content["size"] == {
        **{"users": 100_000, "items": 20_000, "targets": 1, "rounds": 20, "policy": "itmprec"},
        **{"dim": 64, "interactions": None, "epochs": 100, "shards": 1, "processes": 1},
        "threads": 2,
    }
    assert content["rates"] == RATES.model_dump()
    names = [stage["name"] for stage in content["stages"]]
    assert names == [
        *("read data", "GraphAU, an epoch", "encoder, an epoch", "intents"),
        *("rollout, its start", "rollout, a round", "planning, a round"),
    ]
    in_run = [stage for stage in content["stages"] if stage["is_in_run"]]
    assert content["seconds"] == pytest.approx(sum(stage["seconds"] for stage in in_run))
    assert content["memory_bytes"] == max(stage["memory_bytes"] for stage in in_run)
    for stage in content["stages"]:
        assert stage["seconds"] == pytest.approx(stage["times"] * stage["seconds_each"])
        assert stage["bound_by"] in ("memory", "products")
        parts = [Part(**part) for part in stage["parts"]]
        assert stage["memory_bytes"] == at_most(parts)


def test_people_are_told_time_memory_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many = "--users 3000000 --items 20000 --interactions 15000000"
    code, out, _ = said(many, tmp_path, monkeypatch, capsys)
    assert code == 0
    assert "assumed" not in out
    assert "it does not fit" in out
    assert "would fit: " in out
    assert re.search(r"the log +[\d,]+ +held", out)
    assert "80 GFLOP/s a core in products, 2 cores" in out
    _, out, _ = said("--users 300 --items 200", tmp_path, monkeypatch, capsys)
    assert "(50 interactions a user assumed)" in out
    assert ": it fits" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--items 10", "--users must say how many there are, got nothing"),
        ("--users 10", "--items must say how many there are, got nothing"),
        ("--users 0 --items 10", "--users must be at least 1, got 0"),
        ("--users 10 --items 10 --targets 11", "targets must be at most the 10 items, got 11"),
        (
            "--users 10 --items 10 --policy best",
            "--policy must be foresight, itmprec, ipg or next-item, got 'best'",
        ),
    ],
)
def test_the_command_refuses_nonsense(
    arguments: str,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, errors = said(arguments, tmp_path, monkeypatch, capsys)
    assert (code, out) == (2, "")
    assert errors.startswith(f"error: {expected}")
    assert len(errors.splitlines()) == 1


def test_times_are_said_as_people_do() -> None:
    assert [duration(s) for s in (0.0123, 9.5, 42.4, 600, 9000)] == [
        *("0.012 s", "9.5 s", "42 s", "10 min", "2.5 h")
    ]


@pytest.mark.parametrize("policy", ["foresight", "itmprec"])
def test_a_small_rollout_takes_about_the_memory_that_was_said(policy: str) -> None:
    size = {"users": 400, "items": 3000, "targets": 2, "rounds": 3, "policy": policy}
    code = f"""
import resource, sys
sys.path.insert(0, {str(BENCHMARKS)!r})
from shared import random_shop
from proactrec.estimating.size import Size
from proactrec.evaluation.rollout import RolloutOptions, rollout
size = Size(**{size!r})
data = random_shop.dataset(size)
guide, world = random_shop.guide(size, data), random_shop.world(size, data)
options, targets = RolloutOptions(n_rounds=size.rounds), random_shop.targets(size)
log = rollout(guide, world, data, targets, options).log
assert log.is_shown.any()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
    # A child's most memory begins at that of its parent: a small process stands in between.
    between = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=1)"
    command = [sys.executable, "-c", between, code]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    taken = int(done.stdout)
    found = estimated(Size(**size), RATES.model_copy(update={"cores": n_allowed()}))
    named = ("read data", "rollout, its start", "rollout, a round")
    most = max(found.stage(name).memory for name in named)
    assert most / 2 < taken < most * 1.5
