"""Run recorded steps of the authors' code through proactrec: `python tests/parity/check.py FOLDER`.

Every `.npz` in the folder is one case (see `docs/guide/parity.md` for the format). Prints how many
passed of how many and exits with 1 on a miss, with 2 when there is nothing to check.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from proactrec.data.dataset import Histories
from proactrec.intents import Intents
from proactrec.journeys import Journeys, Users
from proactrec.policies.base import Candidates, View
from proactrec.policies.ipg import IPG
from proactrec.policies.itmprec import ITMPRec, ITMPRecOptions
from proactrec.ranking import places
from proactrec.simulator.dynamics import moved
from proactrec.simulator.response import DistributionResponse
from proactrec.targets import prematch, prematch_scores

Case = dict[str, Any]
TIE = 1e-6
"""Two candidates whose scores differ by less are both right."""
OFFICIAL = ITMPRecOptions(no_gain="product")


class _Vectors(nn.Module):
    """An encoder of which only the item table is used: the cases hold its outputs."""

    def __init__(self, item_vectors: Tensor) -> None:
        super().__init__()
        self.item_vectors = item_vectors
        self.device = item_vectors.device
        self.options = type("Options", (), {"max_seq_len": 1})()

    def score(self, user_vectors: Tensor) -> Tensor:
        """Inner products, as every encoder of the authors' code."""
        return user_vectors @ self.item_vectors.T


def padded(case: Case, name: str = "item_vectors") -> Tensor:
    """Item vectors with our padding row 0 in front."""
    return torch.from_numpy(np.pad(case[name], ((1, 0), (0, 0))))


def penalty(case: Case) -> Tensor:
    """`is_seen` as our additive penalty, padding included."""
    is_seen = torch.from_numpy(np.pad(case["is_seen"], ((0, 0), (1, 0)), constant_values=True))
    return torch.where(is_seen, -torch.inf, 0.0)


def seen_in(case: Case) -> View:
    """What our policies see in a policy case: journeys before their only round."""
    places = torch.from_numpy(case["user_vectors"])
    user, everybody = torch.arange(len(places)), np.arange(len(places))
    no_history = Histories(np.zeros(len(places) + 1, np.int64), np.zeros(0, np.int64))
    users = Users(everybody, everybody, no_history, np.zeros(len(places), bool))
    target_idx = torch.full_like(user, int(case["target_idx"]) + 1)
    journeys = Journeys.begun(users, user, target_idx, 1)
    return View(journeys, places, Candidates(penalty(case)), journeys.rounds_left)


def check_policy_itmprec(case: Case) -> None:
    options = OFFICIAL.model_copy(
        update={"intent_weight": float(case["intent_weight"]), "n_curious": int(case["n_curious"])}
    )
    intents = Intents(torch.from_numpy(case["intent_vectors"]))
    policy = ITMPRec(_Vectors(padded(case)), intents, options)  # type: ignore[arg-type]
    seen = seen_in(case)
    same_choice(policy, seen, case)
    close(policy.kept_share(seen), case["beta"], 1e-5, "kept share")


def check_policy_ipg(case: Case) -> None:
    policy = IPG(_Vectors(padded(case)), OFFICIAL)  # type: ignore[arg-type]
    same_choice(policy, seen_in(case), case)


def check_prematch(case: Case) -> None:
    users, items = torch.from_numpy(case["user_vectors"]), padded(case)
    candidates = case["candidate_idx"] + 1
    scores = prematch_scores(users, items, candidates)
    close(scores, case["scores"], 1e-4, "scores")
    chosen = prematch(users, items, candidates, int(case["n_targets"]))
    of = dict(zip(candidates.tolist(), scores.tolist(), strict=True))
    expected = [of[item + 1] for item in case["target_idx"].tolist()]
    close(chosen.score, np.array(expected), TIE, "scores of the chosen targets")


def check_environment_step(case: Case) -> None:
    users, items = (nn.functional.normalize(torch.from_numpy(case[name]), dim=1)
                    for name in ("user_vectors", "item_vectors"))  # fmt: skip
    shown = items[torch.from_numpy(case["item_idx"])]
    response = DistributionResponse(float(case["slope"]), float(case["offset"]))
    prob = response.accept_prob((users * shown).sum(1).double(), float(case["noise"]))
    close(prob, case["accept_prob"], 1e-6, "acceptance probability")
    share = np.where(case["has_beta"], case["beta"], 0.8)
    moves = torch.from_numpy(case["accepted"] & ~case["already_has_target"])
    after = torch.where(moves[:, None], moved(users, shown, torch.from_numpy(share)), users)
    close(after, case["new_user_vectors"], 1e-5, "user vectors")


def check_rank(case: Case) -> None:
    users = nn.functional.normalize(torch.from_numpy(case["user_vectors"]), dim=1)
    items = nn.functional.normalize(padded(case), dim=1)
    rows = torch.from_numpy(case["rows"])
    target_idx = torch.full((len(rows),), int(case["target_idx"]) + 1)
    has_seen = case["is_seen"]
    _, item = has_seen.nonzero()
    seen = Histories(np.concatenate([[0], has_seen.sum(1).cumsum()]), item + 1)
    place = places(users[rows] @ items.T, target_idx, seen, case["rows"])
    cut = place.clamp(max=int(case["rank_cut"]) - 1)
    scores = users[rows] @ items.T + penalty(case)[rows]
    gap = (scores - (users[rows] * items[target_idx]).sum(1, keepdim=True)).abs()
    n_ties = (gap.scatter(1, target_idx[:, None], torch.inf) < TIE).sum(1).numpy()
    off = np.abs(cut.numpy() - case["rank"])
    if (off > n_ties).any():
        raise AssertionError(f"rank is off by {off.max()}")


def same_choice(policy: IPG, seen: View, case: Case) -> None:
    """The policy's item is the expected one, or scores within `TIE` of it."""
    chosen = policy.decide(seen).item_idx
    expected = torch.from_numpy(case["item_idx"]) + 1
    score = policy.scores(seen.places, seen.target_idx)
    gap = score.gather(1, chosen[:, None]) - score.gather(1, expected[:, None])
    is_off = (chosen != expected) & (gap[:, 0].abs() >= TIE)
    if bool(is_off.any()):
        raise AssertionError(f"{int(is_off.sum())} of {len(chosen)} choices differ")


def close(ours: Any, expected: Any, tolerance: float, what: str) -> None:
    """Raise AssertionError when two arrays differ by more than `tolerance` anywhere."""
    error = float(np.abs(np.asarray(ours, dtype=np.float64) - np.asarray(expected)).max())
    if not error <= tolerance:
        raise AssertionError(f"{what} differ by up to {error:.2e}, allowed {tolerance:.0e}")


CHECKS: dict[str, Callable[[Case], None]] = {
    "policy-itmprec": check_policy_itmprec,
    "policy-ipg": check_policy_ipg,
    "prematch": check_prematch,
    "environment-step": check_environment_step,
    "rank": check_rank,
}


def check_file(path: Path) -> str | None:
    """None when the case passes, else what is wrong with it."""
    try:
        with np.load(path, allow_pickle=False) as file:
            case = {name: file[name] for name in file.files}
        kind = str(case["kind"])
        if kind not in CHECKS:
            return f"unknown kind {kind!r}"
        CHECKS[kind](case)
    except (AssertionError, OSError, ValueError, KeyError, IndexError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def main(arguments: list[str]) -> int:
    """Check every case in a folder; the exit code."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        print("usage: python tests/parity/check.py FOLDER (a folder of .npz cases)")
        return 2
    cases = sorted(Path(arguments[0]).glob("*.npz"))
    missed = {path.name: wrong for path in cases if (wrong := check_file(path)) is not None}
    for name, wrong in missed.items():
        print(f"MISSED {name}: {wrong}")
    print(f"{len(cases) - len(missed)} of {len(cases)} parity cases passed")
    if not cases:
        return 2
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
