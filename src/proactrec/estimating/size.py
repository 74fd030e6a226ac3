"""The size of a job, as somebody would say it, and what follows from it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from proactrec.config import Options
from proactrec.encoders.iclrec import ICLRecOptions
from proactrec.errors import InvalidInputError
from proactrec.guidance.guide import BLOCK_SCORES, MAX_BLOCK
from proactrec.policies.foresight import ForesightOptions
from proactrec.ranking import BLOCK_USERS, most_drawn
from proactrec.retrieval.search import is_passed, is_quicker

PolicyName = Literal["foresight", "itmprec", "ipg", "next-item"]
USUAL_HISTORY = 50
ENCODER, FORESIGHT = ICLRecOptions(), ForesightOptions()
"""Settings that are not asked for: the defaults."""


class Size(Options):
    """How much there is, and how it is done."""

    users: int = Field(ge=1, description="users that are guided")
    items: int = Field(ge=1, description="items of the catalogue")
    targets: int = Field(1, ge=1, description="targets that every user is guided to")
    rounds: int = Field(20, ge=1, description="rounds of guidance")
    policy: PolicyName = Field(
        "foresight", description="who guides: foresight, itmprec, ipg or next-item"
    )
    dim: int = Field(64, ge=1, description="length of vectors: of interest models and encoder")
    interactions: int | None = Field(
        None,
        ge=2,
        description=f"events that models are fitted on; by default {USUAL_HISTORY} a user",
    )
    epochs: int = Field(
        100, ge=1, description="of every training, which in truth ends when it gains no more"
    )
    shards: int = Field(1, ge=1, description="parts in which users are guided, one after the other")
    processes: int = Field(1, ge=1, description="that share the users; each holds the whole guide")
    threads: int | None = Field(
        None,
        ge=1,
        description="of a process; by default all cores for one process, and one for each of more",
    )

    @model_validator(mode="after")
    def _can_be(self) -> Self:
        if self.targets > self.items:
            raise InvalidInputError(
                f"targets must be at most the {self.items} items, got {self.targets}"
            )
        if self.n_interactions > self.users * self.items:
            raise InvalidInputError(
                "interactions must be at most users × items, every item once: "
                f"{self.users * self.items}, got {self.interactions}"
            )
        return self

    @property
    def n_interactions(self) -> int:
        """Events that models are fitted on."""
        return self.interactions or self.users * min(USUAL_HISTORY, self.items)

    @property
    def history(self) -> float:
        """Mean number of a user's items."""
        return self.n_interactions / self.users

    @property
    def n_rows(self) -> int:
        """Items and padding."""
        return self.items + 1

    @property
    def n_journeys(self) -> int:
        """All of them: every user to every target."""
        return self.users * self.targets

    @property
    def at_once(self) -> int:
        """Journeys that a process has in memory."""
        return -(-self.users // (self.shards * self.processes)) * self.targets

    @property
    def block(self) -> float:
        """Journeys that a thread decides at once."""
        return min(MAX_BLOCK, max(1.0, BLOCK_SCORES / self.n_rows), self.at_once)

    @property
    def play(self) -> float:
        """Journeys whose users a thread simulates at once."""
        return max(self.block, min(BLOCK_USERS, self.at_once))

    @property
    def is_narrowed(self) -> bool:
        """Whether a pass over int8 rows leaves a block few items to score."""
        return self.is_passed and is_quicker(int(self.block), self.items)

    @property
    def is_passed(self) -> bool:
        """Whether a policy holds int8 rows."""
        return is_passed(self.items)

    @property
    def n_validated(self) -> int:
        """Users whose answer is ranked after an epoch of training."""
        return min(self.users, most_drawn(self.n_rows))

    @property
    def has_views(self) -> bool:
        """Whether the policy plans on interest models of its own; else on an encoder."""
        return self.policy == "foresight"

    @property
    def n_views(self) -> int:
        """Of Foresight: its interest models together are one."""
        return 1 + len(FORESIGHT.other_views)

    @property
    def n_weights(self) -> int:
        """Of Foresight's acceptance model."""
        return self.n_views + len(FORESIGHT.laws) + 2

    @property
    def main_dim(self) -> int:
        """Of Foresight: length of its interest models' vectors together."""
        return min(FORESIGHT.model_dim, FORESIGHT.n_models * self.dim)

    @property
    def place_dim(self) -> int:
        """Length of the vector where the policy believes a user to stand."""
        if not self.has_views:
            return self.dim
        return self.main_dim + (self.n_views - 1) * FORESIGHT.view_dim

    @property
    def place_width(self) -> int:
        """Length of a place and of what is kept behind it to learn laws from."""
        if not self.has_views:
            return self.place_dim
        return self.place_dim + (1 + len(FORESIGHT.laws)) * (3 + self.rounds)

    @property
    def n_interest_models(self) -> int:
        """GraphAU models that are fitted: the simulated users', and Foresight's own."""
        return 1 + (FORESIGHT.n_models if self.has_views else 0)

    @property
    def n_read(self) -> float:
        """Items of a history that the encoder reads; some were accepted on the way."""
        return min(ENCODER.max_seq_len, self.history + self.rounds / 4)

    @property
    def n_threads(self) -> int:
        """Of a process."""
        return self.threads or 1
