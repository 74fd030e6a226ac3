"""A real language model, where `benchmarks/llm_model.py` has put one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from proactrec.data.dataset import Dataset
from proactrec.data.load import DatasetOptions, load
from proactrec.llm.click_agent import ClickAgent, ClickAgentOptions

from .real_servers import TinyServer

FOLDER = Path(__file__).parents[2] / "runs" / "models" / "gemma-3-270m"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"no model in {FOLDER}: benchmarks/llm_model.py makes it"
    ),
]
ASKED = [([3, 1, 4], 15), ([9, 2, 6, 5], 35), ([8], 97)]


@pytest.fixture(scope="module")
def demo() -> Dataset:
    return load(DatasetOptions(name="demo"))


@pytest.fixture(scope="module")
def agent(demo: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickAgent]:
    folder = tmp_path_factory.mktemp("gemma")
    server = TinyServer(FOLDER, folder / "log")
    options = ClickAgentOptions(
        url=server.url, model=server.model, max_answer_tokens=2, timeout_s=600, concurrency=1
    )
    one = ClickAgent(demo, options, folder / "answers.sqlite")
    yield one
    one.close()
    server.kill()


def test_a_click_has_the_chance_that_the_model_computes_in_one_go(agent: ClickAgent) -> None:
    """The server reads a prompt in two: the task, which it keeps, and the rest."""
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    model = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32)
    zero, one = tokenizer.convert_tokens_to_ids(["0", "1"])
    space = tokenizer(" ", add_special_tokens=False, return_tensors="pt")["input_ids"]
    expected = []
    for pair in ASKED:
        messages = [message._asdict() for message in agent.prompt(*pair)]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        spaced = {"input_ids": torch.cat([inputs["input_ids"], space], 1)}
        with torch.inference_mode():
            row = model(**spaced, logits_to_keep=1).logits[0, -1]
        expected.append(torch.sigmoid(row[one] - row[zero]).item())
        assert row.softmax(-1)[[zero, one]].sum() > 0.5  # it goes on as the examples do
    found = agent.probabilities(ASKED)
    assert len(set(found)) == len(found)
    assert found == pytest.approx(expected, abs=0.03)  # bfloat16 against float32


def test_the_folder_holds_safetensors_and_the_terms_and_no_pickle() -> None:
    names = {path.name for path in FOLDER.iterdir()}
    assert {"model.safetensors", "GEMMA_TERMS.html", "NOTICE"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".pkl"))]
