"""Plain next-item recommendation: the encoder's best unseen item, whatever the target."""

from functools import partial
from typing import ClassVar

import numpy as np
from torch import Tensor

from proactrec.encoders.base import Encoder
from proactrec.policies.base import Decision, EncoderPolicy, View, place_of
from proactrec.policies.narrowing import floats, narrowed, relevance, scores_of, search_for
from proactrec.retrieval.scores import Score
from proactrec.retrieval.search import Search
from proactrec.types import IntArray, SingleArray


class NextItem(EncoderPolicy):
    """The unseen item with the highest score; what users get without guidance."""

    name: ClassVar[str] = "next-item"
    guides: ClassVar[bool] = False

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self._search = search_for(encoder)

    def decide(self, view: View) -> Decision:
        """The most relevant unseen item."""
        if self._search is not None:
            view = narrowed(view, partial(self._find, self._search, view.places))
        made = partial(relevance, self.encoder, view.places)
        return view.candidates.best(scores_of(view.candidates, self._search, made))

    def _find(
        self, search: Search, users: Tensor, row: int, penalty: SingleArray
    ) -> IntArray | None:
        """What the most relevant item of a journey is among."""
        user = floats(users[row])
        found = search.best(Score("relevance", user, np.zeros_like(user)), penalty, 1)
        return None if found is None else found.item_idx

    def weigh(self, view: View) -> Tensor:
        """Relevance of every item that may be shown."""
        return self.encoder.score(view.places) + view.candidates.penalty

    def reasons(self, view: View, item_idx: Tensor) -> dict[str, Tensor]:
        """Place by relevance."""
        return place_of(item_idx, self.encoder.score(view.places), view.candidates.penalty)
