"""What was learned, told and put back: by the service, the command and the worker alike."""

from collections.abc import Mapping

from safetensors.torch import save
from sqlalchemy import Connection

from proactrec.errors import InvalidInputError
from proactrec.guidance.learned import tensors_of
from proactrec.measurement.calibration import Calibration
from proactrec.serving.guides import Guides
from proactrec.serving.learned import (
    CalibrationTold,
    Knowledge,
    KnowledgeVersion,
    Tenth,
    Variety,
)
from proactrec.serving.schemas import moment
from proactrec.store import audit, knowledge, watching
from proactrec.store.knowledge import Lesson
from proactrec.store.watch import Watch
from proactrec.store.watching import Seen


def restored(
    connection: Connection,
    tenant: str,
    guides: Guides,
    version: int,
    *,
    by: str,
    at: int,
    reason: str,
    learns: bool = False,
) -> Lesson:
    """Guide by an older version, within seconds in every instance; learning is frozen by default.

    Raises
    ------
    UnknownIdError
        If there is no such version.
    InvalidInputError
        If the guide's policy learns nothing.
    """
    if guides.saved.guide.knowledge is None:
        raise InvalidInputError("this guide's policy learns nothing: there is no way back to go")
    state = watching.held(connection, tenant, guides.name)
    saved = save(tensors_of(guides.saved.guide.knowledge))
    lesson = knowledge.go_back(connection, tenant, guides.name, version, saved, at)
    said = state.said.model_copy(update={"frozen": not learns})
    watching.keep(connection, tenant, guides.name, state._replace(said=said))
    detail = {"restores": version, "reason": reason, "learns": learns}
    about = f"knowledge {lesson.version}"
    audit.note(connection, tenant, by=by, at=at, what="restored", about=about, detail=detail)
    return lesson


def watch(
    connection: Connection, tenant: str, guides: Guides, said: Watch, *, by: str, at: int
) -> None:
    """Watch, or freeze, otherwise from now on."""
    state = watching.held(connection, tenant, guides.name)
    watching.keep(connection, tenant, guides.name, state._replace(said=said))
    detail = said.model_dump(mode="json")
    about = f"guide {guides.name}"
    audit.note(connection, tenant, by=by, at=at, what="watched", about=about, detail=detail)


def told(connection: Connection, tenant: str, guides: Guides, limit: int) -> Knowledge:
    """All that was learned, the newest versions first."""
    known = knowledge.every(connection, tenant, guides.name)
    seen = watching.seen(connection, tenant, guides.name)
    state = watching.state(connection, tenant, guides.name)
    newest = sorted((0, *known), reverse=True)
    return Knowledge(
        watch=state.said,
        in_use=newest[0],
        variety=Variety(**state.variety) if state.variety else None,
        versions=tuple(_version(n, known, seen, state.said) for n in newest[:limit]),
    )


def version_of(
    connection: Connection, tenant: str, guides: Guides, version: int
) -> KnowledgeVersion:
    """One version."""
    known = knowledge.every(connection, tenant, guides.name)
    seen = watching.seen(connection, tenant, guides.name)
    said = watching.state(connection, tenant, guides.name).said
    return _version(version, known, seen, said)


def _version(
    version: int, known: Mapping[int, Lesson], seen: Mapping[int, Seen], said: Watch
) -> KnowledgeVersion:
    lesson, found = known.get(version), seen.get(version)
    sums = None if found is None or not found.sums else Calibration.of_sums(found.sums)
    return KnowledgeVersion(
        version=version,
        parent=None if lesson is None else lesson.parent,
        restores=None if lesson is None else lesson.restores,
        answers=sum(one.n_answers for one in knowledge.chain_of(known, version)),
        after_decision=None if lesson is None else lesson.after_seq,
        up_to_decision=None if lesson is None else lesson.up_to_seq,
        evidence=None if lesson is None else lesson.evidence or None,
        at=None if lesson is None else moment(lesson.at),
        calibration=None if sums is None else _calibration(sums, said.alpha),
        alarm=None if found is None else found.alarm or None,
    )


def _calibration(sums: Calibration, alpha: float) -> CalibrationTold:
    n, foretold, came = sums.n, sums.foretold, sums.came
    return CalibrationTold(
        answers=sums.n_answers,
        foretold=float(foretold.sum()) / sums.n_answers,
        accepted=float(came.sum()) / sums.n_answers,
        off_by_at_least=sums.off_by_at_least(alpha=alpha),
        log_loss=sums.log_loss,
        tenths=tuple(
            Tenth(
                answers=int(n[at]),
                foretold=float(foretold[at] / n[at]) if n[at] else None,
                accepted=float(came[at] / n[at]) if n[at] else None,
            )
            for at in range(len(n))
        ),
    )
