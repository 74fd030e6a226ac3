"""Choose an encoder's settings by its validation score; the test split is never looked at."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from proactrec.config import digest
from proactrec.data.dataset import Dataset
from proactrec.encoders.fitting import encoder_type, fit_encoder
from proactrec.errors import InvalidInputError, MissingExtraError
from proactrec.progress import Progress, silent
from proactrec.training import EpochRecord

if TYPE_CHECKING:
    import optuna

INSTALL = "tuning needs optuna: pip install 'proactrec[tune]'"
N_FREE_EPOCHS = 10
"""Epochs before a trial may be given up for lying below the median of the others."""


class Trial(NamedTuple):
    """Settings that were tried."""

    options: dict[str, Any]
    score: float  # best validation NDCG@20 so far
    n_epochs: int
    is_complete: bool  # False if it was given up early


def tune(
    name: str,
    dataset: Dataset,
    item_vectors: Tensor | None,
    journal: Path,
    *,
    n_trials: int,
    options: dict[str, Any] | None = None,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = silent,
) -> list[Trial]:
    """Try settings of the encoder's `search_space`, the defaults first; best score first.

    Parameters
    ----------
    journal : Path
        File that holds every trial as it goes on. The same call reads it and does what is missing;
        a trial that was killed is tried anew. A call with other data, vectors, seed, or fixed
        settings has trials of its own in the same file.
    n_trials : int
        Trials in all, those in the journal among them.
    options : dict, optional
        Settings of all trials; one that is given is not searched.

    Raises
    ------
    MissingExtraError
        If optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(INSTALL) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if n_trials < 1:
        raise InvalidInputError(f"n_trials must be at least 1, got {n_trials}")
    fixed, kind = options or {}, encoder_type(name)
    space = {key: values for key, values in kind.search_space.items() if key not in fixed}
    tried = {
        "dataset": dataset.fingerprint,
        "item_vectors": None if item_vectors is None else item_vectors.double().sum(1).tolist(),
        "seed": seed,
        "fixed": fixed,
        "space": space,
    }
    study = _study(journal, f"{name}-{digest(tried)}", seed)
    if not study.trials:
        defaults = kind.options_type(**fixed).model_dump()
        study.enqueue_trial({key: defaults[key] for key in space})

    def objective(trial: "optuna.Trial") -> float:
        chosen = {key: trial.suggest_categorical(key, values) for key, values in space.items()}

        def watch(epoch: EpochRecord) -> None:
            trial.report(epoch.score, epoch.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

        _, record = fit_encoder(
            name,
            dataset,
            item_vectors,
            options={**fixed, **chosen},
            seed=seed,
            device=device,
            watch=watch,
        )
        return record.best.score

    while (n_done := len(_ended(study))) < n_trials:
        progress("tuning", n_done, n_trials)
        study.optimize(objective, n_trials=1)
    progress("tuning", n_trials, n_trials)
    return sorted(map(_told, _ended(study)), key=lambda trial: (-trial.is_complete, -trial.score))


def _study(journal: Path, name: str, seed: int) -> "optuna.Study":
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name=name,
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=N_FREE_EPOCHS),
    )
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a killed process
        study.enqueue_trial(trial.params)
    # A sampler that starts anew must not draw again what it drew before.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    return study


def _ended(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    from optuna.trial import TrialState

    return study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))


def _told(trial: "optuna.trial.FrozenTrial") -> Trial:
    scores = trial.intermediate_values
    is_complete = trial.state.name == "COMPLETE"
    return Trial(trial.params, max(scores.values()), len(scores), is_complete)
