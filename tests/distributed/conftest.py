"""A shop's users in two tables, before anybody was guided and after a first round; and a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from proactrec.data.load import DatasetOptions
from proactrec.data.sources.table import TableOptions
from proactrec.distributed.histories import gather
from proactrec.distributed.planning import Planning
from proactrec.distributed.plans import plan
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.graphau import GraphAUOptions

from ..e2e.conftest import Toy
from ..e2e.conftest import cli as cli
from ..e2e.conftest import copied as copied
from ..e2e.conftest import finished as finished
from ..e2e.conftest import here as here
from ..e2e.conftest import start as start
from ..e2e.conftest import toy as toy
from ..guidance.fitted import N_ITEMS, answered, changed_json, log
from ..serving.conftest import guide_folder as guide_folder

N_LATER, TARGETS = 40, ("i10", "i20")


class Shop(NamedTuple):
    """Files of a shop."""

    folder: Path
    guide: Path

    @property
    def events(self) -> Path:
        """All that users did: 24 that the guide knows, and 40 who came later."""
        return self.folder / "events.parquet"

    @property
    def shown(self) -> Path:
        """What they were shown in a first round, and the answers."""
        return self.folder / "shown.parquet"

    @property
    def before(self) -> Path:
        """Users without that round."""
        return self.folder / "before"

    @property
    def after(self) -> Path:
        """Users with that round."""
        return self.folder / "after"

    def with_rails(self, folder: Path, **rails: object) -> Path:
        """A copy of the guide, within rails."""
        for path in self.guide.rglob("*.*"):
            copy = folder / path.relative_to(self.guide)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        changed_json(folder / "guide.json", rails=rails)
        return folder


@pytest.fixture(scope="session")
def planned_shop(guide_folder: Callable[..., Path], made_once: Callable[..., Path]) -> Shop:
    guide = guide_folder("foresight")

    def fill(folder: Path) -> None:
        shop = Shop(folder, guide)
        pl.concat([log().events, later_events(N_LATER)]).write_parquet(shop.events)
        gather(shop.events, shop.before)
        plan(Planning(guide, TARGETS), shop.before, folder / "first")
        answered(pl.read_parquet(folder / "first" / "*.parquet")).write_parquet(shop.shown)
        gather(shop.events, shop.after, shop.shown)

    return Shop(made_once("planned-shop", fill), guide)


def later_events(n_users: int) -> pl.DataFrame:
    """Users whom the guide does not know, with 1 to 8 items each."""
    rng = np.random.default_rng(5)
    rows = [
        (f"v{user:04}", f"i{item:02}", 100 + time)
        for user in range(n_users)
        for time, item in enumerate(rng.permutation(N_ITEMS)[: rng.integers(1, 9)])
    ]
    return pl.DataFrame(rows, log().events.schema, orient="row")


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a plan, hidden ones included."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder and those in it, by their paths, hidden ones included."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def rows_of(folder: Path) -> pl.DataFrame:
    """All rows of a plan, in the order of its shards."""
    return pl.read_parquet(folder / "*.parquet")


class Long(NamedTuple):
    """A plan of many shards, and what it comes to."""

    guide: Path
    users: Path
    whole: dict[str, bytes]

    def command(self, out: Path) -> list[str]:
        """That makes it."""
        asked = ["--users", str(self.users), "--category", "Drama", "--shard-size", "4"]
        return ["plan", str(self.guide), *asked, "--out", str(out)]


@pytest.fixture(scope="session")
def long_plan(planned_shop: Shop, made_once: Callable[..., Path]) -> Long:
    def fill(folder: Path) -> None:
        events = folder / "events.parquet"
        later_events(600).write_parquet(events)
        gather(events, folder / "users")
        wanted = Planning(planned_shop.guide, category="Drama")
        plan(wanted, folder / "users", folder / "whole", shard_size=4)

    folder = made_once("long-plan", fill)
    return Long(planned_shop.guide, folder / "users", contents(folder / "whole"))


class Small(NamedTuple):
    """Runs on the toy world: 30 users, three targets, four rounds."""

    toy: Toy
    store: Path

    @property
    def own_policy(self) -> str:
        """Source of a policy in a file."""
        return (Path(__file__).parents[2] / "examples" / "my_policy.py").read_text()

    def options(self, changes: Mapping[str, Any] | None = None) -> ExperimentOptions:
        """Of a run, everything as short as can be."""
        once = {"n_epochs": 1}
        table = TableOptions(events=self.toy.events, items=self.toy.items)
        return ExperimentOptions(
            dataset=DatasetOptions(name="csv", filter="none", table=table),
            category="Drama",
            encoder_options={"embedding_dim": 8, "max_seq_len": 8, "stopping": once},
            graphau=GraphAUOptions(embedding_dim=8, stopping=once),
        ).changed(
            {
                "protocol.targets.n_targets": 3,
                "protocol.rollout.n_rounds": 4,
                "protocol.intents.n_intents": 4,
                **(changes or {}),
            }
        )

    def experiment(
        self, changes: Mapping[str, Any] | None = None, store: Path | None = None
    ) -> Experiment:
        """Its models are trained once, unless it has a store of its own."""
        return Experiment(self.options(changes), store or self.store)


@pytest.fixture(scope="session")
def small(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(toy, tmp_path_factory.mktemp("small") / "store")
