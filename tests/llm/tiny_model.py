"""A tiny language model, made on the spot: trained for some seconds on real click prompts.

It learns one thing: the newer a title, and the newer those in the history, the likelier is a 1.
So what it was taught is known (`Taste`), and what it says is its own. Half of its 240 kB are
embeddings; its tokeniser has learnt the titles, and has a token for each line of the prompt file.
"""

import math
import os
import random
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before transformers reads it

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from proactrec.llm.fence import CLOSE, OPEN
from proactrec.llm.prompting import Prompt, click_prompt, load_prompt

MAX_TOKENS = 1024
"""Longest prompt with its answer."""
VOCABULARY = 1200
PAD, END, ROLES = "<|pad|>", "<|end|>", ("<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '\n' }}"
    "{% if message['role'] == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LEARNING_RATE, BATCH_SIZE = 0.01, 32
SHORT = (100, 5, 1)
"""Steps, longest history, and messages left out of the prompt: most is learnt without the task."""
WHOLE = (30, 20, 0)


class Taste(NamedTuple):
    """What the model is taught."""

    mean: float
    spread: float

    @classmethod
    def of(cls, titles: Sequence[str]) -> "Taste":
        """The taste for whom a title of these is as often too old as new enough."""
        years = [int(found[1]) for title in titles if (found := _YEAR.search(title))]
        return cls(statistics.mean(years), statistics.pstdev(years))

    def year(self, title: str) -> float:
        found = _YEAR.search(title)
        return float(found[1]) if found else self.mean

    def chance(self, history: Sequence[str], item: str) -> float:
        """Chance of a 1."""
        newer = self.year(item) + statistics.mean(map(self.year, history)) - 2 * self.mean
        return 1 / (1 + math.exp(-1.5 * newer / self.spread))


_YEAR = re.compile(r"\(((?:19|20)\d\d)\)$")


def build(folder: Path, titles: Sequence[str], *, domain: str = "generic", seed: int = 0) -> None:
    """Train a model on a catalogue, and save it as transformers' own do."""
    prompt = load_prompt(domain, "click")
    tokenizer = _tokenizer(titles, prompt)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(_config(tokenizer))
        _train(model, tokenizer, prompt, titles, random.Random(seed))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer(titles: Sequence[str], prompt: Prompt) -> PreTrainedTokenizerFast:
    texts = "\n".join(text for _, text in prompt.turns).split("\n")
    lines = dict.fromkeys([line for line in texts if line and line[0] not in "$"] + [OPEN, CLOSE])
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([f'"{title}"\n' for title in titles], trainer)
    tokenizer.add_tokens([AddedToken(f"{line}\n", normalized=False) for line in lines])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        chat_template=TEMPLATE,
        model_max_length=MAX_TOKENS,
    )


def _config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=MAX_TOKENS,
        tie_word_embeddings=True,
        initializer_range=0.1,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )


def _train(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    prompt: Prompt,
    titles: Sequence[str],
    luck: random.Random,
) -> None:
    """Teach it the chance of a 1, and to end after the digit."""
    taste = Taste.of(titles)
    by_year = sorted(titles, key=taste.year)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.0
    )
    n_steps = SHORT[0] + WHOLE[0]
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / 10) * (1 - 0.9 * step / n_steps)
    )
    zero, one = tokenizer.convert_tokens_to_ids(["0", "1"])
    for n, longest, left_out in (SHORT, WHOLE):
        for _ in range(n):
            tokens, last, chance = _batch(
                tokenizer, prompt, by_year, taste, luck, longest, left_out
            )
            hidden = model.model(input_ids=tokens).last_hidden_state
            rows = torch.arange(len(tokens))
            first, second = (model.lm_head(hidden[rows, last + i]).log_softmax(-1) for i in (0, 1))
            loss = -(chance * first[:, one] + (1 - chance) * first[:, zero]).mean()
            loss = loss - second[:, tokenizer.eos_token_id].mean()
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def _batch(
    tokenizer: PreTrainedTokenizerFast,
    prompt: Prompt,
    by_year: Sequence[str],
    taste: Taste,
    luck: random.Random,
    longest: int,
    left_out: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prompts with a digit (B, L); place of the last prompt token (B,); chance of a 1 (B,)."""
    texts, chances = [], []
    for _ in range(BATCH_SIZE):
        place = luck.randrange(len(by_year))
        width = luck.randint(1, len(by_year))
        near = by_year[max(0, place - width) : place + width]
        history, item = luck.choices(near, k=luck.randint(1, longest)), luck.choice(by_year)
        messages: list[Any] = [
            message._asdict() for message in click_prompt(prompt, history=history, item=item)
        ]
        chances.append(taste.chance(history, item))
        asked = tokenizer.apply_chat_template(
            messages[left_out:], add_generation_prompt=True, tokenize=False
        )
        texts.append(asked + str(int(luck.random() < chances[-1])))
    found = tokenizer(texts, padding=True, padding_side="right", return_tensors="pt")
    last = found["attention_mask"].sum(1) - 2
    return found["input_ids"], last, torch.tensor(chances)
