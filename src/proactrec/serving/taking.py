"""What users did and said, checked and added to what the log tells of them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from proactrec.serving.requests import (
    Answer,
    Ask,
    Consent,
    Membership,
    Noted,
    Refused,
    Report,
    Request,
    Response,
)
from proactrec.store.log import Change
from proactrec.store.people import KINDS, OWN, Event, Person


class Work(NamedTuple):
    """One user's requests of a batch."""

    rows: list[int]  # places in the batch
    change: Change  # what was said, before any decision
    responses: list[Response | None]  # None: an ask
    ask: Ask | None

    @property
    def is_first(self) -> bool:
        """Whether the log is told of a user of whom it says nothing."""
        tells = self.ask is not None or self.change.after.revision > 0
        return tells and self.change.before.revision == 0


def works_of(
    requests: Sequence[tuple[int, Request]],
    people: Mapping[str, Person],
    repeated: Mapping[int, Answer],
    now: int,
) -> dict[str, Work]:
    """What is to be done for each user of a batch."""
    found: dict[str, Work] = {}
    for row, request in requests:
        before = people[request.user_id]
        work = found.get(request.user_id) or Work([], Change(before, before), [], None)
        response: Response | None = repeated.get(row)
        change, ask = work.change, work.ask
        if isinstance(request, Ask):
            ask = ask if response else request
        else:
            change, response = taken_in(change, request, now)
        found[request.user_id] = Work([*work.rows, row], change, [*work.responses, response], ask)
    return found


def change_of(work: Work, answer: Answer | None) -> Change:
    """What the log is told of a user, with what was decided."""
    change = work.change
    if answer is None:
        return change
    after = change.after.after(made=[answer.decided.made])
    return change._replace(after=after, decided=[answer.decided])


def responses_of(
    works: Mapping[str, Work], users: set[str], answers: Mapping[str, Answer]
) -> dict[int, Response]:
    """What these users' requests are answered, by place."""
    found: dict[int, Response] = {}
    for user in users:
        for row, response in zip(works[user].rows, works[user].responses, strict=True):
            found[row] = answers[user] if response is None else response
    return found


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
