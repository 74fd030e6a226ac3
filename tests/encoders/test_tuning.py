"""Tuning: by the validation score alone, resumed from its journal, the defaults among the tried."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend, JournalStorage

from proactrec.data.dataset import Dataset
from proactrec.encoders import fitting, tuning
from proactrec.encoders.fitting import ENCODERS, fit_encoder
from proactrec.encoders.tuning import Trial, tune
from proactrec.errors import InvalidInputError

SHORT: dict[str, Any] = {
    "embedding_dim": 8,
    "max_seq_len": 8,
    "item_start": "random",
    "stopping": {"n_epochs": 2},
}


def run(dataset: Dataset, journal: Path, n_trials: int, **options: Any) -> list[Trial]:
    return tune("sasrec", dataset, None, journal, n_trials=n_trials, options={**SHORT, **options})


@pytest.mark.parametrize("kind", ENCODERS.values(), ids=ENCODERS)
def test_defaults_are_in_the_search_space(kind: Any) -> None:
    defaults = kind.options_type().model_dump()
    for name, values in kind.search_space.items():
        assert defaults[name] in values, name
        assert len(set(values)) == len(values) > 1


def test_best_first_and_each_score_is_what_training_gives(cyclic: Dataset, tmp_path: Path) -> None:
    found = run(cyclic, tmp_path / "journal", 4)
    assert len(found) == 4
    scores = [trial.score for trial in found if trial.is_complete]
    assert scores == sorted(scores, reverse=True)
    best = found[0]
    _, record = fit_encoder("sasrec", cyclic, options={**SHORT, **best.options})
    assert record.best.score == best.score
    assert best.n_epochs == 2
    defaults = ENCODERS["sasrec"].options_type().model_dump()
    assert any(
        all(defaults[name] == value for name, value in trial.options.items()) for trial in found
    )


def test_the_journal_is_read_and_only_what_is_missing_is_tried(
    cyclic: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, tried = tmp_path / "journal", []
    first = run(cyclic, journal, 2)
    # A process killed in the middle of a trial leaves it running.
    (name,) = optuna.get_all_study_names(JournalStorage(JournalFileBackend(str(journal))))
    killed = tuning._study(journal, name, 0).ask()
    for name, values in ENCODERS["sasrec"].search_space.items():
        killed.suggest_categorical(name, values)

    def counted(*args: Any, **kwargs: Any) -> Any:
        tried.append(kwargs["options"])
        return fitting.fit_encoder(*args, **kwargs)

    monkeypatch.setattr(tuning, "fit_encoder", counted)
    again = run(cyclic, journal, 4)
    assert len(again) == 4
    assert len(tried) == 2
    assert {name: tried[0][name] for name in killed.params} == killed.params
    assert all(trial in again for trial in first)
    assert run(cyclic, journal, 4) == again
    assert len(tried) == 2


def test_other_data_seed_or_settings_have_trials_of_their_own(
    cyclic: Dataset, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    first = run(cyclic, journal, 1)
    other = run(cyclic, journal, 1, dropout=0.2)
    seeded = tune("sasrec", cyclic, None, journal, n_trials=1, options=SHORT, seed=1)
    assert first[0].options == seeded[0].options  # the defaults
    assert first[0].score != seeded[0].score
    assert "dropout" not in other[0].options
    assert run(cyclic, journal, 1) == first


def test_a_resumed_search_does_not_draw_the_same_again(cyclic: Dataset, tmp_path: Path) -> None:
    for n_trials in range(1, 7):
        found = run(cyclic, tmp_path / "journal", n_trials)
    assert len({tuple(trial.options.items()) for trial in found}) >= 5


def test_test_items_are_never_looked_at(
    cyclic: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = type(cyclic).answers

    def without_test(self: Dataset, split: Any) -> Any:
        assert split != "test"
        return answers(self, split)

    monkeypatch.setattr(type(cyclic), "answers", without_test)
    assert run(cyclic, tmp_path / "journal", 1)


def test_given_settings_are_not_searched(cyclic: Dataset, tmp_path: Path) -> None:
    found = run(cyclic, tmp_path / "journal", 2, dropout=0.2)
    assert all("dropout" not in trial.options for trial in found)


def test_no_trials_is_refused(cyclic: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="n_trials must be at least 1, got 0"):
        run(cyclic, tmp_path / "journal", 0)
