"""Products of targets and items: kept ones against ones made anew."""

import pytest
import torch

from proactrec.policies import toward
from proactrec.policies.toward import Toward

N_ROWS = 301


def items() -> torch.Tensor:
    """Vectors of 300 items and of padding."""
    return torch.randn(N_ROWS, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("asked", [[7], [7, 7, 7], [7, 2, 7, 300, 1], [0]])
def test_products_are_those_of_the_vectors(asked: list[int]) -> None:
    target_idx = torch.tensor(asked)
    found = Toward(items()).of(target_idx)
    torch.testing.assert_close(found, items()[target_idx] @ items().T)


def test_a_target_has_the_same_bits_in_any_company_asked_before_or_not() -> None:
    together = Toward(items()).of(torch.arange(1, 12))
    one_by_one = Toward(items())
    for target in torch.arange(11, 0, -1):
        assert torch.equal(one_by_one.of(target[None])[0], together[target - 1])
    assert torch.equal(one_by_one.of(torch.arange(1, 12)), together)


def test_no_more_is_kept_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three targets; the fourth begins anew, and what is asked for stands all the same."""
    monkeypatch.setattr(toward, "MOST_KEPT", 3 * N_ROWS)
    kept = Toward(items())
    for asked in ([1, 2, 3], [4], [4, 1, 5], [2, 1]):
        found = kept.of(torch.tensor(asked))
        torch.testing.assert_close(found, items()[asked] @ items().T)
        assert len(kept._kept) <= 3
