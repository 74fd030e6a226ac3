"""The contract of ledgers over that of one process."""

from proactrec.guidance.ledger import Ledger, MemoryLedger
from proactrec.guidance.rails import RailsOptions
from proactrec.testing.ledgers import LedgerContract
from proactrec.types import IntArray


class TestMemoryLedger(LedgerContract):
    def make(self, options: RailsOptions, n_items: int, user: IntArray) -> Ledger:
        return MemoryLedger(options, n_items, user)
