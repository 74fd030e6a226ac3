"""Is one method of a benchmark better than another? By their logs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from proactrec.errors import DataError, InvalidInputError, UnknownIdError
from proactrec.evaluation.metrics import GOAL_METRICS, METRICS
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.comparison import Difference, paired_differences
from proactrec.measurement.results import CellResult, read_cells
from proactrec.names import meant, spelled

USUAL = tuple(name for name in METRICS if name != "accept_prob")
"""What methods are compared by."""


def compared_logs(
    first: Mapping[int, GuidanceLog],
    second: Mapping[int, GuidanceLog],
    options: MetricOptions,
    metrics: Sequence[str] = ("hr", "ioi", "ior"),
) -> list[Difference]:
    """Differences of two methods by their logs, by seed: see :func:`paired_differences`.

    Raises
    ------
    InvalidInputError
        If the two were not run with the same seeds, users, targets and rounds.
    """
    n_rounds = {log.n_rounds for logs in (first, second) for log in logs.values()}
    if len(n_rounds) > 1:
        raise InvalidInputError(
            f"methods must have been run for the same number of rounds, got {sorted(n_rounds)}"
        )
    options = options.up_to(max(n_rounds, default=1))
    a, b = (
        {
            seed: {name: GOAL_METRICS[name](log, options) for name in metrics}
            for seed, log in of.items()
        }
        for of in (first, second)
    )
    return paired_differences(a, b, options.rounds)


def method_in(folder: Path, name: str) -> str:
    """The method of a benchmark that is meant by a name, whatever its capitals.

    Raises
    ------
    UnknownIdError
        If none is.
    """
    known = list(dict.fromkeys(cell.method for cell in read_cells(folder)))
    found = spelled(name, known)
    if found not in known:
        raise UnknownIdError(
            f"method {name!r} is not in {folder}; there are {', '.join(known)}{meant(name, known)}"
        )
    return found


def compare_in(
    folder: Path,
    first: str,
    second: str,
    metrics: Sequence[str] | None = None,
    *,
    only: str | None = None,
) -> dict[str, list[Difference]]:
    """Paired differences of two methods of a benchmark, wherever both were run.

    Parameters
    ----------
    folder : Path
        What `proactrec benchmark` wrote.
    metrics : sequence of str, optional
        HR, IoI, IoR, targets accepted, rounds to the target and worth by default, and IoR cut at
        200 where the protocol does not cut it anyway.
    only : str, optional
        The one "data set, protocol, world" to compare in.

    Returns
    -------
    dict
        From "data set, protocol, world" to the differences at every round.
    """
    cells = read_cells(folder)
    first, second = (method_in(folder, name) for name in (first, second))
    groups: dict[str, dict[str, list[CellResult]]] = {}
    for cell in cells:
        group = groups.setdefault(f"{cell.dataset}, {cell.protocol}, {cell.world}", {})
        group.setdefault(cell.method, []).append(cell)
    found = {}
    for world, by_method in groups.items():
        if only not in (None, world) or first not in by_method or second not in by_method:
            continue
        options = MetricOptions(**by_method[first][0].metric_options)
        usual = [name for name in USUAL if name != "ior200" or options.rank_cut is None]
        logs = _logs(by_method[first]), _logs(by_method[second])
        found[world] = compared_logs(*logs, options, metrics or usual)
    return found


def _logs(cells: Iterable[CellResult]) -> dict[int, GuidanceLog]:
    found = {}
    for cell in cells:
        if cell.log is None:
            raise DataError(
                f"{cell.method} with seed {cell.seed} has no log noted, by which to compare"
            )
        found[cell.seed] = GuidanceLog.load(cell.log)
    return found
