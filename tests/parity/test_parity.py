"""Recorded steps of the authors' code, and the same formulas written out naively."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Case = dict[str, Any]
BESIDE = Path(__file__).parents[3] / "shared" / "parity"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "parity_check", Path(__file__).with_name("check.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def unit(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(unit(x) @ unit(y).T)


def vectors(rng: np.random.Generator) -> Case:
    users, items = rng.standard_normal((9, 6)), rng.standard_normal((25, 6))
    is_seen = rng.random((9, 25)) < 0.3
    target = int(rng.integers(25))
    is_seen[:, target] = rng.random(9) < 0.2
    return {
        "user_vectors": 3 * users,
        "item_vectors": items,
        "is_seen": is_seen,
        "target_idx": np.array(target),
    }


def guided(case: Case, interest: np.ndarray) -> np.ndarray:
    """Interest × (cos(E_i, E_t) - cos(h, E_t)); seen items out; one user at a time."""
    users, items, t = case["user_vectors"], case["item_vectors"], int(case["target_idx"])
    shown = []
    for user, seen, wanted in zip(users, case["is_seen"], interest, strict=True):
        progress = [
            float(cosine(item[None], items[[t]])[0, 0] - cosine(user[None], items[[t]])[0, 0])
            for item in items
        ]
        shown.append(np.where(seen, -np.inf, wanted * np.array(progress)).argmax())
    return np.array(shown)


def policy_ipg(rng: np.random.Generator) -> Case:
    case = vectors(rng)
    interest = sigmoid(case["user_vectors"] @ case["item_vectors"].T)
    return {**case, "item_idx": guided(case, interest)}


def policy_itmprec(rng: np.random.Generator) -> Case:
    case = vectors(rng)
    users, items, t = case["user_vectors"], case["item_vectors"], int(case["target_idx"])
    intents, weight, n_curious = rng.standard_normal((4, 6)), 0.7, 5
    own, others = cosine(users, intents).argmax(1), cosine(items, intents).argmax(1)
    interest = sigmoid(users @ items.T) + weight * sigmoid(intents[own] @ intents[others].T)
    betas = []
    for user, seen in zip(users, case["is_seen"], strict=True):
        liking = np.where(seen, -np.inf, cosine(user[None], items)[0])
        favourites = np.argsort(-liking)[:n_curious]
        betas.append(1 - max(cosine(items[favourites], items[[t]]).mean(), 0.2))
    return {
        **case,
        "intent_vectors": intents,
        "intent_weight": np.array(weight),
        "n_curious": np.array(n_curious),
        "item_idx": guided(case, interest),
        "beta": np.array(betas),
    }


def prematch(rng: np.random.Generator) -> Case:
    case = vectors(rng)
    candidates = rng.permutation(25)[:12]
    scores = np.array(
        [sum(user @ case["item_vectors"][c] for user in case["user_vectors"]) for c in candidates]
    )
    return {
        "user_vectors": case["user_vectors"],
        "item_vectors": case["item_vectors"],
        "candidate_idx": candidates,
        "n_targets": np.array(5),
        "scores": scores,
        "target_idx": candidates[np.argsort(-scores)[:5]],
    }


def environment_step(rng: np.random.Generator) -> Case:
    case = vectors(rng)
    shown, slope, offset, noise = rng.integers(0, 25, 9), 1.0, 0.8, 0.3
    beta, has_beta = rng.random(9), np.array(bool(rng.integers(2)))
    accepted, owners = rng.random(9) < 0.6, rng.random(9) < 0.3
    users, items = unit(case["user_vectors"]), unit(case["item_vectors"])
    probability, after = [], []
    for n, user in enumerate(users):
        item = items[shown[n]]
        probability.append(min(1, sigmoid(slope * (user @ item - offset)) + noise / 100))
        kept = beta[n] if has_beta else 0.8
        moves = accepted[n] and not owners[n]
        after.append(unit(kept * user + (1 - kept) * item) if moves else user)
    return {
        "user_vectors": case["user_vectors"],
        "item_vectors": case["item_vectors"],
        "item_idx": shown,
        "slope": np.array(slope),
        "offset": np.array(offset),
        "noise": np.array(noise),
        "beta": beta,
        "has_beta": has_beta,
        "accepted": accepted,
        "already_has_target": owners,
        "accept_prob": np.array(probability),
        "new_user_vectors": np.array(after),
    }


def rank(rng: np.random.Generator) -> Case:
    case, cut = vectors(rng), 6
    t = int(case["target_idx"])
    rows, places = np.flatnonzero(~case["is_seen"][:, t]), []
    for row in rows:
        score = cosine(case["user_vectors"][[row]], case["item_vectors"])[0]
        first = np.argsort(-np.where(case["is_seen"][row], -np.inf, score))[:cut].tolist()
        places.append(first.index(t) if t in first else cut - 1)
    return {**case, "rows": rows, "rank": np.array(places), "rank_cut": np.array(cut)}


KINDS: dict[str, tuple[Callable[[np.random.Generator], Case], str]] = {
    "policy-itmprec": (policy_itmprec, "item_idx"),
    "policy-ipg": (policy_ipg, "item_idx"),
    "prematch": (prematch, "scores"),
    "environment-step": (environment_step, "accept_prob"),
    "rank": (rank, "rank"),
}
"""Generator of every kind, and an output that is spoilt to see whether the check notices."""


def write(folder: Path, kind: str, case: Case) -> None:
    """As in the recorded files: everything real is float32."""
    arrays = {
        name: value.astype(np.float32) if value.dtype == np.float64 and value.ndim else value
        for name, value in case.items()
    }
    np.savez(folder / f"{kind}.npz", kind=np.array(kind), **arrays)


@pytest.mark.parity
def test_recorded_steps_are_met(check: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(os.environ.get("PROACTREC_PARITY") or BESIDE)
    if not folder.is_dir():
        pytest.skip(f"recorded steps are not at {folder}: set PROACTREC_PARITY")
    code, printed = check.main([str(folder)]), capsys.readouterr().out
    assert code == 0, printed
    n = len(list(folder.glob("*.npz")))
    assert f"{n} of {n} parity cases passed" in printed


def test_every_kind_that_is_checked_is_generated_here(check: ModuleType) -> None:
    assert set(check.CHECKS) == set(KINDS)


@pytest.mark.parametrize("seed", range(5))
def test_naive_formulas_are_met(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], seed: int
) -> None:
    for kind, (generate, _) in KINDS.items():
        write(tmp_path, kind, generate(np.random.default_rng(seed)))
    code = check.main([str(tmp_path)])
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize("kind", KINDS)
def test_wrong_expectation_is_noticed(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    generate, output = KINDS[kind]
    case = generate(np.random.default_rng(0))
    wrong = case[output] + 1
    write(tmp_path, kind, {**case, output: wrong % 25 if output == "item_idx" else wrong})
    assert check.main([str(tmp_path)]) == 1
    assert f"MISSED {kind}.npz: AssertionError" in capsys.readouterr().out


def test_unreadable_and_unknown_cases_are_misses(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    np.savez(tmp_path / "odd.npz", kind=np.array("teleport"))
    assert check.main([str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "MISSED broken.npz" in printed
    assert "MISSED odd.npz: unknown kind 'teleport'" in printed
    assert "0 of 2 parity cases passed" in printed


def test_nothing_to_check_is_no_success(check: ModuleType, tmp_path: Path) -> None:
    assert check.main([str(tmp_path)]) == 2
    assert check.main([]) == 2
    assert check.main([str(tmp_path / "missing")]) == 2
