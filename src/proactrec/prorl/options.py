"""Settings of ProRL: of its network, of pre-training and of reinforcement."""

from typing import Literal, Self

from pydantic import Field, model_validator

from proactrec.config import MOST_DIM, MOST_LAYERS, MOST_LEN, Options
from proactrec.encoders.base import EncoderOptions, NextItemLoss
from proactrec.encoders.layers import check_transformer
from proactrec.errors import InvalidInputError
from proactrec.training import StoppingOptions

Estimator = Literal["prorl", "rtg", "grpo", "reinforce"]


class JudgeOptions(EncoderOptions):
    """The SASRec that rewards paths; it starts at random, so that it reads no hidden vector."""

    item_start: Literal["graphau", "random"] = Field(
        "random", description="item vectors start from N(0, 0.02²), or from interest vectors"
    )
    next_item_loss: NextItemLoss = Field(
        "cross_entropy", description="over all items, as its softmax is the reward; or sampled"
    )
    windows: Literal["last", "all"] = Field(
        "all", description="train on the whole history, or on the newest max_seq_len items only"
    )


class PretrainingOptions(Options):
    """Pre-training on stretches of logs."""

    learning_rate: float = Field(1e-3, gt=0, le=100, description="of AdamW, after the warm-up")
    warm_up_steps: int = Field(200, ge=1, description="steps in which the learning rate rises")
    weight_decay: float = Field(0.05, ge=0, description="of AdamW")
    batch_size: int = Field(256, ge=1, le=1_000_000, description="mined rows in a batch")
    stopping: StoppingOptions = StoppingOptions(n_epochs=60, patience=5)


class ReinforcingOptions(Options):
    """Reinforcement; the values are the published ones where the size of a CPU allows it."""

    estimator: Estimator = Field(
        "prorl",
        description="weight of a step's log-probability: the return less its mean at the position "
        "(prorl), the return (rtg), the path's reward less the prompt's mean (grpo), or that alone",
    )
    own_return: bool = Field(
        True, description="whether a sample's own return counts in its position's mean (published)"
    )
    centring: Literal["frozen", "none"] = Field(
        "frozen",
        description="means that rewards are centred by: of epoch 1, then fixed (published), or 0",
    )
    kl: Literal["exact", "in_loss"] = Field(
        "exact",
        description="distance to the pre-trained model: over all items at sampled states, or of "
        "the sampled items in the loss as published, whose gradient has no mean",
    )
    kl_weight: float = Field(0.01, ge=0, description="of that distance (beta)")
    top_k: int = Field(
        0, ge=0, description="likeliest items that samples are drawn from; 0: all, 50: as published"
    )
    targets: Literal["mixed", "mined", "random"] = Field(
        "mixed",
        description="ends of mined rows (published), random items that users lack, or half each",
    )
    interest_weight: float = Field(1.0, ge=0, description="of the increase of interest (IoI)")
    rank_weight: float = Field(1.0, ge=0, description="of the increase of rank (IoR)")
    acceptance_weight: float = Field(1.0, ge=0, description="of acceptance (CTR)")
    learning_rate: float = Field(3e-4, gt=0, le=100, description="of AdamW, after the warm-up")
    warm_up_steps: int = Field(100, ge=1, description="steps in which the learning rate rises")
    weight_decay: float = Field(0.05, ge=0, description="of AdamW")
    n_prompts: int = Field(32, ge=1, le=100_000, description="prompts in a step")
    n_samples: int = Field(8, ge=2, le=10_000, description="paths that are sampled for a prompt")
    n_steps: int = Field(100, ge=1, description="steps between two validations")
    n_held_out: int = Field(256, ge=1, description="held-out prompts to validate with, at most")
    stopping: StoppingOptions = StoppingOptions(n_epochs=20, patience=20)


class ProRLOptions(Options):
    """Settings of ProRL's planner: its names are the items themselves, one token each."""

    embedding_dim: int = Field(
        64, ge=1, le=MOST_DIM, description="length of item vectors and states"
    )
    n_layers: int = Field(
        2, ge=1, le=MOST_LAYERS, description="layers of the encoder, and of the decoder"
    )
    n_heads: int = Field(2, ge=1, description="attention heads; they share embedding_dim")
    inner_dim: int = Field(
        256, ge=1, le=MOST_DIM, description="width inside the feed-forward parts"
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="in pre-training")
    history_len: int = Field(
        10, ge=1, le=MOST_LEN, description="newest items that are read; a mined row's too"
    )
    max_path_len: int = Field(10, ge=2, le=MOST_LEN, description="items of a path at most (L_max)")
    largest_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="share of items above which the largest category links no neighbours of a "
        "mined row, where there are others",
    )
    item_start: Literal["judge", "random", "graphau"] = Field(
        "judge",
        description="item vectors start from the judge's, from N(0, 1), or from interest vectors",
    )
    judge: JudgeOptions = JudgeOptions()
    pretraining: PretrainingOptions = PretrainingOptions()
    reinforcing: ReinforcingOptions = ReinforcingOptions()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        check_transformer(self.embedding_dim, self.n_heads, 2 * self.n_layers, self.inner_dim)
        if self.item_start == "judge" and self.judge.embedding_dim != self.embedding_dim:
            raise InvalidInputError(
                f"embedding_dim must be judge.embedding_dim where item_start is 'judge', "
                f"got {self.embedding_dim} and {self.judge.embedding_dim}"
            )
        return self
