"""From a raw file of the size of MovieLens 1M to a run of Foresight: how long, stage by stage.

Usage: python benchmarks/ml_1m_sized.py PAGE.md [--folder runs/ml-1m-sized] [--encoder iclrec]
       [--n-targets 5]
The file is generated in MovieLens 1M's format: 6,040 users, 3,706 films, about a million ratings;
users rate what is popular and near their taste, topic after topic. `proactrec run` does the whole
job with both cores and the defaults; killed, the same command goes on where it stopped.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from proactrec.files import read_json, replacing
from proactrec.rng import generator
from shared.child import PROACTREC, taken
from shared.page import origin, page_parser, write_page

N_USERS, N_ITEMS, N_TOPICS, SIZE = 6_040, 3_706, 60, 12
LEAST, MOST, TYPICAL, SPREAD = 20, 2_000, 96, 1.0
"""Ratings of a user: least, most, and the median and log-deviation of a log-normal number."""
GENRES = ("Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi", "Thriller", "War")
START, MINUTE = 956_700_000, 60
LIMIT_MINUTES = 20


def main() -> None:
    """Generate the file if it is not there, run, and write the page."""
    asked = _arguments()
    data = asked.folder / "data" / "ml-1m"
    if not (data / "ratings.dat").exists():
        generate(data)
    out = asked.folder / f"run-{asked.encoder}"
    about = ["--dataset", "ml-1m", "--data-dir", str(data.parent), "--category", "Sci-Fi"]
    how = ["--policy", "foresight", "--encoder", asked.encoder, "--n-targets", str(asked.n_targets)]
    done = taken([*PROACTREC, "run", *about, *how, "--out", str(out)])
    if done.code:
        raise SystemExit(done.code)
    run = read_json(out / "run.json")
    found = {
        "seconds": done.seconds,
        "cpu_seconds": done.cpu_seconds,
        "gib": done.gib,
        "stages": run["seconds"],
        "n_targets": asked.n_targets,
        "encoder": asked.encoder,
    }
    body = page(found)
    write_page(asked.page, "A run of the size of MovieLens 1M", {"origin": origin(), **found}, body)
    print(body)


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("runs/ml-1m-sized"))
    parser.add_argument("--encoder", default="iclrec")
    parser.add_argument("--n-targets", type=int, default=5)
    return parser.parse_args()


def generate(folder: Path) -> None:
    """Films, then ratings, in the format of MovieLens 1M."""
    rng = generator(0, "ml-1m-sized")
    topic = rng.integers(0, N_TOPICS, N_ITEMS)
    place = rng.standard_normal((N_TOPICS, SIZE))
    pull = np.log(rng.pareto(1.0, N_ITEMS) + 0.2)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "movies.dat") as partial:
        lines = (
            f"{item + 1}::Film {item + 1} (1990)::{GENRES[topic[item] % len(GENRES)]}"
            for item in range(N_ITEMS)
        )
        partial.write_text("\n".join(lines) + "\n", encoding="latin-1")
    with replacing(folder / "ratings.dat") as partial, partial.open("w") as file:
        for user in range(N_USERS):
            items = rated(rng, topic, place, pull)
            at = START + MINUTE * np.cumsum(rng.integers(1, 60, len(items)))
            rows = zip(items + 1, at, strict=True)
            file.writelines(f"{user + 1}::{item}::4::{time}\n" for item, time in rows)


def rated(
    rng: np.random.Generator, topic: np.ndarray[Any, Any], place: np.ndarray[Any, Any], pull: Any
) -> np.ndarray[Any, Any]:
    """Films of one user in the order of rating: topics one after the other, some aside."""
    length = int(np.clip(rng.lognormal(np.log(TYPICAL), SPREAD), LEAST, MOST))
    taste = place @ rng.standard_normal(SIZE)  # (n_topics,)
    wish = pull + taste[topic] / 2 + rng.gumbel(size=N_ITEMS)
    items = np.argpartition(-wish, length)[:length]
    turn = rng.random(N_TOPICS)[topic[items]]  # when its topic is watched
    return items[np.argsort(turn + 0.15 * rng.standard_normal(length))]


def page(found: dict[str, Any]) -> str:
    """Markdown: stages, and all of it."""
    lines = ["| stage | seconds |", "| --- | ---: |"]
    lines += [f"| {stage} | {seconds:,.0f} |" for stage, seconds in found["stages"].items()]
    minutes = found["seconds"] / 60
    return "\n".join(
        [
            *lines,
            "",
            f"From the raw file to the report, {found['n_targets']} targets, encoder "
            f"{found['encoder']}: **{minutes:.1f} minutes** ({LIMIT_MINUTES} asked), "
            f"{found['cpu_seconds'] / 60:.1f} of the processor, {found['gib']:.2f} GiB at most.",
        ]
    )


if __name__ == "__main__":
    main()
