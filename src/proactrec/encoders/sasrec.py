"""SASRec: next-item prediction by a causal transformer (variant B: BERT style, post-LN).

Source: Kang & McAuley 2018, arXiv:1808.09781, as in ITMPRec's code. Every position of a window
predicts its next item, instead of one sample per prefix: the same targets in far fewer passes.
"""

from typing import ClassVar

from proactrec.encoders.base import Encoder


class SASRec(Encoder):
    """The shared transformer trained with the sampled binary loss alone."""

    name: ClassVar[str] = "sasrec"
