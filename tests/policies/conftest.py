"""Encoders whose item vectors are given, for policies worked by hand."""

from collections.abc import Callable

import pytest
from torch import Tensor

from proactrec.encoders.base import Encoder, EncoderOptions
from proactrec.encoders.sasrec import SASRec

EncoderOf = Callable[[Tensor], Encoder]


@pytest.fixture(scope="session")
def encoder_of() -> EncoderOf:
    """An untrained encoder with these item vectors, row 0 being padding."""

    def build(item_vectors: Tensor) -> Encoder:
        n_rows, dim = item_vectors.shape
        options = EncoderOptions(embedding_dim=dim, n_heads=1, n_layers=1, max_seq_len=4)
        encoder = SASRec(n_rows - 1, options)
        encoder.start(0, item_vectors)
        return encoder.eval()

    return build
