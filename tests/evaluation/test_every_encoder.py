"""Every policy can stand on every encoder, distributional ones too."""

from typing import Any

import numpy as np
import pytest
import torch

from proactrec.encoders.fitting import ENCODERS
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.intents import fit_intents
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec
from proactrec.policies.next_item import NextItem
from proactrec.policies.reference import Nearest, TargetNow
from proactrec.simulator.world import World

TARGETS = np.array([3, 9])


@pytest.mark.parametrize("name", ENCODERS)
def test_every_policy_guides_on_it(name: str, toy: Any) -> None:
    kind = ENCODERS[name]
    encoder = kind(toy.dataset.n_items, kind.options_type(embedding_dim=8, max_seq_len=5))
    encoder.start(0, torch.randn(toy.dataset.n_items + 1, 8, generator=torch.manual_seed(1)))
    encoder.eval()
    users = encoder.encode(encoder.sequences(toy.dataset.before("train")))
    assert users.shape[1] == encoder.item_vectors.shape[1]
    scores = encoder.score(users)
    assert scores.shape == (toy.dataset.n_users, toy.dataset.n_items + 1)
    assert scores.isfinite().all()
    intents = fit_intents(users, 3, seed=0)
    world = World(toy.dataset, toy.user_vectors, toy.item_vectors, TARGETS)
    shown = []
    for policy in (
        NextItem(encoder),
        Nearest(encoder),
        TargetNow(encoder),
        IPG(encoder),
        ITMPRec(encoder, intents),
    ):
        log = rollout(policy, world, toy.dataset, TARGETS, RolloutOptions(n_rounds=3)).log
        assert log.is_shown[:, 0].all()
        for user, items in zip(log.user_idx, log.item_idx, strict=True):
            some = items[items > 0]
            assert len(set(some)) == len(some)
            assert not set(some) & set(toy.dataset.before("train").of(user))
        shown.append(log.item_idx)
    # The most relevant item is that of the scores, with what a user has left out.
    known = toy.dataset.before("train")
    row = log.user_idx[0]
    free = [i for i in range(1, toy.dataset.n_items + 1) if i not in known.of(row)]
    assert shown[0][0, 0] == max(free, key=lambda i: float(scores[row, i]))
    assert not np.array_equal(shown[0], shown[1])
