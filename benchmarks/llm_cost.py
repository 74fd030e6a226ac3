"""What a language model costs as user and as planner: tokens counted, time and money computed.

Usage: python benchmarks/llm_cost.py PAGE.md --tokenizer-python ENV/bin/python
ENV is an environment with `pip install mistral-common`, which brings a real tokenizer (Tekken,
131,000 tokens) without a download. Tokens are those of the messages' text; the chat template adds
a few for each message.
"""

import argparse
import json
import subprocess
from collections.abc import Sequence

import numpy as np

from proactrec.data.dataset import Dataset
from proactrec.data.load import load_dataset
from proactrec.llm.messages import Message
from proactrec.llm.prompting import HISTORY_LEN, click_prompt, load_prompt, plan_prompt
from proactrec.rng import generator
from shared.page import origin, page_parser, write_page

DOMAINS = {"ml-100k": "movies", "lastfm": "music"}
N_SAMPLES, PATH_LEN, N_ROUNDS = 300, 19, 20
PRICES = ((0.15, 0.60), (0.50, 1.50), (2.50, 10.0))
"""Money for a million tokens of prompts and of answers."""
LATENCIES_S, CONCURRENCY = (0.1, 0.5, 2.0), 16
COUNT = """
import json, sys
from pathlib import Path
import mistral_common.data
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
file = Path(mistral_common.data.__path__[0]) / "tekken_240911.json"
tokenizer = Tekkenizer.from_file(file)
counts = [len(tokenizer.encode(text, bos=False, eos=False)) for text in json.load(sys.stdin)]
json.dump(counts, sys.stdout)
"""


def main() -> None:
    """Count and write the page."""
    parser = page_parser(__doc__)
    parser.add_argument("--tokenizer-python", required=True)
    arguments = parser.parse_args()
    cells = {}
    for name, domain in DOMAINS.items():
        dataset = load_dataset(name, filter="paper")
        asked = texts(dataset, domain)
        counts = count([text for kind in asked.values() for text in kind], arguments)
        parts = np.split(np.array(counts), len(asked))
        tokens = {kind: float(part.mean()) for kind, part in zip(asked, parts, strict=True)}
        cells[name] = {"n_users": dataset.n_users, **tokens}
    body = "\n\n".join([token_table(cells), money_table(cells), time_table(cells)])
    print(body)
    write_page(
        arguments.page,
        "What a language model costs",
        {"origin": origin(), "tokens": cells, "prices": PRICES},
        body,
    )


def texts(dataset: Dataset, domain: str) -> dict[str, list[str]]:
    """Prompts of random users and items, and answers as long as a path."""
    rng = generator(0, "cost")
    train, titles = dataset.before("train"), np.array(["", *dataset.titles], dtype=object)
    click, plan = load_prompt(domain, "click"), load_prompt(domain, "plan")
    found: dict[str, list[str]] = {"click": [], "plan": [], "path": []}
    for user in rng.integers(dataset.n_users, size=N_SAMPLES):
        history = titles[train.of(int(user))[-HISTORY_LEN:]].tolist()
        items = titles[1 + rng.choice(dataset.n_items, PATH_LEN + 1, replace=False)].tolist()
        found["click"].append(text_of(click_prompt(click, history=history, item=items[0])))
        plan_it = plan_prompt(plan, history=history, target=items[0], path_len=PATH_LEN)
        found["plan"].append(text_of(plan_it))
        found["path"].append(json.dumps(items[1:], ensure_ascii=False))
    return found


def text_of(messages: Sequence[Message]) -> str:
    """All that a prompt says."""
    return "\n".join(message.content for message in messages)


def count(asked: list[str], arguments: argparse.Namespace) -> list[int]:
    """Tokens of every text."""
    command = [arguments.tokenizer_python, "-c", COUNT]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the tokenizer's environment failed: {done.stderr.splitlines()[-1]}")
    counts: list[int] = json.loads(done.stdout)
    return counts


Cells = dict[str, dict[str, float]]


def token_table(cells: Cells) -> str:
    """Tokens of one decision and of one path."""
    lines = [
        "| data set | a click: prompt + answer | a path: prompt + answer | calls for 1 target, 20 "
        "rounds: clicks / paths | tokens: clicks / paths |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, cell in cells.items():
        n_clicks, n_paths, click_tokens, path_tokens = totals(cell)
        lines.append(
            f"| {name} | {cell['click']:.0f} + 1 | {cell['plan']:.0f} + {cell['path']:.0f} | "
            f"{n_clicks:,.0f} / {n_paths:,.0f} | {sum(click_tokens) / 1e6:.1f} M / "
            f"{sum(path_tokens) / 1e6:.1f} M |"
        )
    return "\n".join(lines)


def totals(cell: dict[str, float]) -> tuple[float, float, tuple[float, ...], tuple[float, ...]]:
    """Calls, and tokens in and out, of everybody with one target: clicks, and one path each."""
    n_paths = cell["n_users"]
    n_clicks = n_paths * N_ROUNDS
    return (
        n_clicks,
        n_paths,
        (n_clicks * cell["click"], n_clicks),
        (n_paths * cell["plan"], n_paths * cell["path"]),
    )


def money_table(cells: Cells) -> str:
    """Money for one target and for fifty, at some prices."""
    lines = [
        "| data set | price of a million tokens: in / out | clicks, 1 target | clicks, 50 targets "
        "| paths, 1 target | paths, 50 targets |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, cell in cells.items():
        *_, clicks, paths = totals(cell)
        for prices in PRICES:
            one = [
                sum(t * p for t, p in zip(x, prices, strict=True)) / 1e6 for x in (clicks, paths)
            ]
            sums = " | ".join(f"{n * cost:,.2f}" for cost in one for n in (1, 50))
            lines.append(f"| {name} | {prices[0]:.2f} / {prices[1]:.2f} | {sums} |")
    return "\n".join(lines)


def time_table(cells: Cells) -> str:
    """Time for one target, by how long an answer takes."""
    lines = [
        f"| data set | an answer takes | clicks, 1 target, {CONCURRENCY} at once | one at a time |",
        "| --- | --- | --- | --- |",
    ]
    for name, cell in cells.items():
        n_clicks = totals(cell)[0]
        for latency in LATENCIES_S:
            hours = [n_clicks * latency / n / 3600 for n in (CONCURRENCY, 1)]
            texts = " | ".join(f"{h:.1f} h" if h >= 1 else f"{h * 60:.0f} min" for h in hours)
            lines.append(f"| {name} | {latency:g} s | {texts} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
