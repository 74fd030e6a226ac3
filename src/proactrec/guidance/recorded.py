"""The users of a data set as a guide sees them, and the ledger of their journeys in one process."""

import numpy as np

from proactrec.data.dataset import Dataset, Side
from proactrec.guidance.guide import Guide
from proactrec.guidance.ledger import FREE, Free, MemoryLedger
from proactrec.guidance.rails import groups_of
from proactrec.journeys import Users
from proactrec.rng import keys_of
from proactrec.types import IntArray


def train_users(dataset: Dataset, guide: Guide | None = None, padding: Side = "left") -> Users:
    """Everybody whom models were fitted on, with train histories; a guide says who opted out."""
    rails = None if guide is None else guide.rails
    nobody = np.zeros(dataset.n_users, bool)
    return Users(
        key=keys_of(dataset.user_ids),
        known=np.arange(dataset.n_users),
        history=dataset.before("train"),
        opted_out=nobody if rails is None else rails.opted_out(dataset.user_ids),
        padding=padding,
    )


def ledger_of(guide: Guide, dataset: Dataset, user_idx: IntArray) -> Free | MemoryLedger:
    """The ledger of journeys of these users (n,), in their order."""
    if guide.rails is None or not guide.rails.options.spans_users:
        return FREE
    options = guide.rails.options
    if options.equal_groups is None:
        return MemoryLedger(options, dataset.n_items, user_idx)
    names, group = groups_of(options, dataset)
    return MemoryLedger(options, dataset.n_items, user_idx, group[user_idx], names)
