"""A provider can promote an item that nobody has touched."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from .conftest import FAST, SHORT, Command, Toy


@pytest.fixture
def listed(toy: Toy, tmp_path: Path) -> list[str]:
    """Arguments for the toy world with one more item that nobody has touched."""
    items = tmp_path / "items.csv"
    items.write_text(toy.items.read_text() + "i99,Film 99,Drama\n")
    return ["--dataset", "csv", "--events", str(toy.events), "--items", str(items)]


@pytest.mark.parametrize(
    "chosen",
    [
        ["--encoder", "sasrec"],
        ["--encoder", "mstein"],
        ["--policy", "foresight", "--set", "policy_options.n_models=1"],
    ],
    ids=["sasrec", "mstein", "foresight"],
)
def test_a_cold_target_is_guided_to(
    chosen: list[str], listed: list[str], here: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["run", *listed, *SHORT, *chosen, "--out", str(out)]
    outcome = here(*arguments, "--target", "i99")
    assert outcome.code == 2
    assert "items without interactions need --cold-items" in outcome.errors[0]
    outcome = here(*arguments, "--target", "i99", "--cold-items", "--json")
    assert outcome.code == 0, outcome.stderr
    assert "1 of 1 targets are in nobody's train history" in outcome.stderr
    result = json.loads(outcome.stdout)
    assert result["n_items"] == 41
    assert result["targets"][0]["item_id"] == "i99"
    assert result["targets"][0]["share_seen"] == 0
    assert here("evaluate", str(out)).code == 0


def test_cold_items_have_the_place_of_their_category(
    listed: list[str], here: Command, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    outcome = here("train", *listed, *FAST, "--cold-items", "--out", str(out))
    assert outcome.code == 0, outcome.stderr
    (interest,) = out.glob("artefacts/interest-*/vectors.safetensors")
    items = load_file(interest)["items"]
    assert float(items[-1].norm()) == pytest.approx(1, abs=1e-5)
    manifest = json.loads((interest.parent / "manifest.json").read_text())
    assert manifest["inputs"]["content"]["n_components"] == 512


def test_without_the_option_nothing_changes(
    listed: list[str], here: Command, toy: Toy, tmp_path: Path
) -> None:
    outs = [tmp_path / "with", tmp_path / "without"]
    for out, files in zip(outs, (listed, toy.files), strict=True):
        assert here("train", *files, *FAST, "--out", str(out)).code == 0
    names = [sorted(p.name for p in out.glob("artefacts/*-*")) for out in outs]
    assert names[0] == names[1]
