"""What users did and said, checked and added to what the log tells of them."""

from proactrec.serving.requests import Consent, Membership, Noted, Refused, Report, Response
from proactrec.store.log import Change
from proactrec.store.people import KINDS, OWN, Event


def taken_in(
    change: Change, request: Report | Consent | Membership, now: int
) -> tuple[Change, Response]:
    """A user's change with one request more, and what is answered to it."""
    if isinstance(request, Report):
        return _reported(change, request, now)
    after = change.after
    if isinstance(request, Consent):
        after = after.consenting(request.guided)
    else:
        after = after.belonging(request.groups)
    # Said once a transaction: the last word of several holds, and is what the log has.
    return change._replace(after=after, said_at=now), Noted()


def _reported(change: Change, report: Report, now: int) -> tuple[Change, Response]:
    person = change.after
    made = None if report.decision_id is None else person.decision_of(report.decision_id)
    why = _wrong(report)
    if why is None and report.decision_id is not None:
        if made is None:
            why = f"decision_id {report.decision_id!r} is none of user {report.user_id!r}"
        elif made.item_id != report.item_id:
            why = f"decision {report.decision_id} showed {made.item_id!r}, not {report.item_id!r}"
    if why is not None:
        return change, Refused(why)
    at = now if report.at is None else report.at
    number = 0 if made is None else made.number
    event = Event(report.event_id, number, report.item_id, report.kind, at, now)
    old = person.events.get(report.event_id)
    if old is not None:
        is_same = old[1:4] == event[1:4]
        other = f"event_id {report.event_id!r} was used for something else"
        return change, Noted(old, True) if is_same else Refused(other)
    return change._replace(
        after=person.after(events=[event]), events=[*change.events, event]
    ), Noted(event)


def _wrong(report: Report) -> str | None:
    if report.kind not in KINDS:
        return f"kind must be one of {', '.join(KINDS)}, got {report.kind!r}"
    if not report.event_id or report.event_id.startswith(OWN):
        return f"event_id must not be empty or begin with {OWN!r}, got {report.event_id!r}"
    return None if report.item_id else "item_id must not be empty"
