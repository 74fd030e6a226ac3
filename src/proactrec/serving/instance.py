"""One instance of the service: requests that come together are decided together.

All that arrived while the last batch was scored and committed is the next batch, of one tenant, run
in one thread. Whatever fails, whoever asks what to show is given an item.
"""

import asyncio
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue

from proactrec.errors import BusyError, OverloadedError, StoreError
from proactrec.serving import metrics
from proactrec.serving.host import Host
from proactrec.serving.plain import plain_items
from proactrec.serving.requests import Ask, Outcome, Plain, Refused, Request, Response
from proactrec.serving.seen import SEEN, Seen
from proactrec.serving.traces import OFF, Traces

MOST_ASKS = 32
"""Decisions of a batch: beyond it scores of a large catalogue no longer fit in caches."""
MOST_REQUESTS = 500
"""Of any kind in a batch."""
MOST_WAITING = 4000
"""Requests that wait; more are refused."""
PATIENCE_SECONDS = 3.0
"""So long a batch may take until the store is held to be out of reach."""
LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class Call:
    """Requests that came together: asks, or others."""

    tenant: str
    requests: Sequence[Request]
    answered: asyncio.Future[list[Outcome]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    seen: Seen | None = field(default_factory=SEEN.get)

    @property
    def n_asks(self) -> int:
        """Decisions among them."""
        return len(self.requests) if isinstance(self.requests[0], Ask) else 0

    def answer(self, outcome: list[Outcome] | Exception) -> None:
        """Tell the caller, unless that was done or nobody waits any more."""
        if self.answered.done():
            return
        if isinstance(outcome, Exception):
            self.answered.set_exception(outcome)
        else:
            self.answered.set_result(outcome)


Handler = Callable[[str, list[Call]], list[list[Outcome] | Exception]]


class Batches:
    """Calls on their way into one thread, in the order in which they came."""

    def __init__(self, handle: Handler, *, most_waiting: int = MOST_WAITING) -> None:
        self._handle, self._most = handle, most_waiting
        self._waiting: deque[Call] = deque()
        self.n_waiting = 0  # requests
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.is_busy = False  # also with a batch that nobody waits for any more
        self.now: list[Call] = []  # being handled
        self.since = 0.0  # when the batch at hand began

    def start(self) -> None:
        """Begin to handle what comes; a loop must be running."""
        self._loop = asyncio.get_running_loop()
        # Nobody waits for it at the end: it may hang on a database that does not answer.
        threading.Thread(target=self._work, name="decisions", daemon=True).start()

    def put(self, call: Call) -> None:
        """Let a call wait for its turn.

        Raises
        ------
        OverloadedError
            If too many do.
        """
        if self.n_waiting + len(call.requests) > self._most and self.n_waiting:
            raise OverloadedError(f"{self.n_waiting} requests wait already: try again later")
        self._waiting.append(call)
        self.n_waiting += len(call.requests)
        if not self.is_busy:
            self.is_busy, self.since = True, time.monotonic()
            self._loop.call_soon(self._go_on)  # once all that came at once is here

    def drained(self) -> list[Call]:
        """All that wait or are being handled, for somebody else to answer."""
        calls = [*self.now, *self._waiting]
        self._waiting.clear()
        self.now, self.n_waiting = [], 0
        return calls

    def between(self, job: Callable[[], None]) -> None:
        """Do something between two batches."""
        self._jobs.put(job)

    async def close(self) -> None:
        """Finish what was accepted, and end."""
        while self._waiting or self.now:
            await asyncio.sleep(0.01)
        self._jobs.put(None)

    def _go_on(self) -> None:
        """Hand on the next batch, if anything waits."""
        self.is_busy = bool(self._waiting)
        if not self.is_busy:
            return
        self.now = calls = self._next()
        self.since = time.monotonic()

        def job() -> None:
            outcomes = self._handle(calls[0].tenant, calls)
            with suppress(RuntimeError):  # the loop has ended: nobody waits
                self._loop.call_soon_threadsafe(self._done, calls, outcomes)

        self._jobs.put(job)

    def _done(self, calls: list[Call], outcomes: list[list[Outcome] | Exception]) -> None:
        self.now = []
        for call, outcome in zip(calls, outcomes, strict=True):
            call.answer(outcome)
        self._go_on()

    def _next(self) -> list[Call]:
        """The calls of one tenant that may go together, from the oldest on."""
        tenant, taken, left = self._waiting[0].tenant, list[Call](), deque[Call]()
        n_asks = n_all = 0
        while self._waiting:
            call = self._waiting.popleft()
            asks, whole = n_asks + call.n_asks, n_all + len(call.requests)
            is_full = bool(taken) and (asks > MOST_ASKS or whole > MOST_REQUESTS)
            if call.tenant == tenant and not is_full:
                taken.append(call)
                n_asks, n_all = asks, whole
                continue
            left.append(call)
            if is_full:
                break
        self._waiting.extendleft(reversed(left))
        self.n_waiting -= n_all
        return taken

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:
                LOG.exception("a job between batches failed")


class Instance:
    """A host, asked by many at once.

    Parameters
    ----------
    host : Host
    most_waiting : int, optional
        Requests that may wait; beyond it they are refused.
    patience : float, optional
        Seconds that a batch may take until the store is held to be out of reach.
    traces : Traces, optional
        Of requests and batches.
    """

    def __init__(
        self,
        host: Host,
        *,
        most_waiting: int = MOST_WAITING,
        patience: float = PATIENCE_SECONDS,
        traces: Traces = OFF,
    ) -> None:
        self.host, self._patience, self.traces = host, patience, traces
        self._batches = Batches(self._handled, most_waiting=most_waiting)
        self._aside = Batches(self._plain, most_waiting=most_waiting)
        self.is_store_out = False
        self.lets_go = threading.Event()  # of a guide: it is garbage to be looked for
        self.is_stopping = False  # told to: what still comes is answered
        self._is_stopped = False
        self._watches: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; a loop must be running."""
        self._batches.start()
        self._aside.start()
        self._watches = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Finish what was accepted, and end."""
        self.is_stopping = self._is_stopped = True
        await self._batches.close()
        await self._aside.close()
        if self._watches is not None:
            self._watches.cancel()

    def between(self, job: Callable[[], None]) -> None:
        """Do something between two batches."""
        self._batches.between(job)

    async def handle(self, tenant: str, requests: Sequence[Request]) -> list[Outcome]:
        """Outcomes of requests, asks or others, in their order.

        Raises
        ------
        OverloadedError
            If too many wait, the instance has stopped, or what is told of users comes too late over
            and over.
        StoreError
            If the database fails, unless what is asked is what to show.
        """
        if self._is_stopped:
            raise OverloadedError("this instance has stopped: another one answers")
        most = MOST_ASKS if isinstance(requests[0], Ask) else MOST_REQUESTS
        calls = [Call(tenant, requests[at : at + most]) for at in range(0, len(requests), most)]
        for at, call in enumerate(calls):
            try:
                self._put(call)
            except OverloadedError:
                if not at:
                    raise
                await _all(calls[:at])  # they are under way
                raise
        found = [outcome for part in await _all(calls) for outcome in part]
        metrics.count_outcomes(found)
        return found

    def store_is(self, *, out: bool) -> None:
        """Take note of whether the store can be reached."""
        if out and not self.is_store_out:
            LOG.warning("the store is out of reach: plain items are shown")
        elif self.is_store_out and not out:
            LOG.warning("the store is back")
        self.is_store_out = out

    def _put(self, call: Call) -> None:
        if not self.is_store_out:
            self._batches.put(call)
        elif call.n_asks:
            self._aside.put(call)
        else:
            raise StoreError("the store can't be reached: try again later")

    async def _watch(self) -> None:
        """Let nobody wait for a store that does not answer."""
        while True:
            self._tell_figures()
            await asyncio.sleep(min(0.25, self._patience / 4))
            is_late = time.monotonic() - self._batches.since > self._patience
            if not self._batches.is_busy or not (is_late or self.is_store_out):
                continue
            self.store_is(out=True)
            for call in self._batches.drained():
                try:
                    self._moved_aside(call)
                except (OverloadedError, StoreError) as error:
                    call.answer(error)

    def _tell_figures(self) -> None:
        metrics.WAITING.set(self._batches.n_waiting)
        metrics.PEOPLE.set(self.host.n_people)
        metrics.STORE_OUT.set(self.is_store_out)

    def _moved_aside(self, call: Call) -> None:
        self._put(other := Call(call.tenant, call.requests))

        def tell(answered: asyncio.Future[list[Outcome]]) -> None:
            call.answer(answered.exception() or answered.result())  # type: ignore[arg-type]

        other.answered.add_done_callback(tell)

    def _handled(self, tenant: str, calls: list[Call]) -> list[list[Outcome] | Exception]:
        """In the thread of decisions: outcomes of each call."""
        requests = [one for call in calls for one in call.requests]
        spans = [call.seen.span for call in calls if call.seen is not None]
        metrics.BATCH_REQUESTS.observe(len(requests))
        done: dict[int, Response] = {}
        try:
            with metrics.BATCH_SECONDS.time(), self.traces.batch(spans, len(requests)):
                found = self.host.handle(tenant, requests, done, seconds=self._patience / 2)
        except (StoreError, BusyError) as error:
            LOG.warning("%s", error)
            if isinstance(error, StoreError):
                self.store_is(out=True)
            return [self._rest_without(error, *part) for part in _parts(calls, done)]
        except Exception:
            LOG.exception("a batch failed: what is left of it is tried one by one")
            context = contextvars.copy_context()
            return [context.run(self._one_by_one, *part) for part in _parts(calls, done)]
        self.store_is(out=False)
        rest = iter(found)
        return [[next(rest) for _ in call.requests] for call in calls]

    def _one_by_one(self, call: Call, done: dict[int, Outcome]) -> list[Outcome] | Exception:
        """Outcomes of a call of which some are known, by place."""
        SEEN.set(call.seen)  # which log lines name
        for place, request in enumerate(call.requests):
            if place in done:
                continue
            try:
                (done[place],) = self.host.handle(call.tenant, [request])
            except StoreError as error:
                return self._rest_without(error, call, done)
            except Exception as error:
                is_busy = isinstance(error, BusyError)
                if not is_busy:
                    LOG.exception("a request failed")
                if isinstance(request, Ask):
                    (done[place],) = self._plain_of(call.tenant, [request], _because(error))
                elif is_busy or len(call.requests) == 1:
                    return error
                else:
                    why = "it failed here, and that was logged: try again later"
                    done[place] = Refused(why)
        return [done[place] for place in range(len(call.requests))]

    def _rest_without(
        self, error: Exception, call: Call, done: dict[int, Outcome]
    ) -> list[Outcome] | Exception:
        """What is done of a call, and plain items for the rest; if nothing is asked, the error.

        What is told twice counts once: such a call may be made again, whatever is done of it.
        """
        rest = [place for place in range(len(call.requests)) if place not in done]
        if rest and not call.n_asks:
            return error
        asks = [one for place in rest if isinstance(one := call.requests[place], Ask)]
        done.update(zip(rest, self._plain_of(call.tenant, asks, _because(error)), strict=True))
        return [done[place] for place in range(len(call.requests))]

    def _plain(self, tenant: str, calls: list[Call]) -> list[list[Outcome] | Exception]:
        """In a thread beside: what is shown while the store is out of reach."""
        asks = [one for call in calls for one in call.requests if isinstance(one, Ask)]
        rest = iter(self._plain_of(tenant, asks, "store_unavailable"))
        return [[next(rest) for _ in call.requests] for call in calls]

    def _plain_of(self, tenant: str, asks: Sequence[Ask], because: str) -> list[Plain]:
        try:
            guides = self.host.guides_of(tenant)
            erased = self.host.unknown.rows(guides.name, tenant)
            return plain_items(asks, guides, because, erased)
        except Exception:
            LOG.exception("plain items failed: the first candidates are shown")
            first = [ask.candidates[0] if ask.candidates else "" for ask in asks]
            return [Plain(item_id, item_id, because) for item_id in first]


async def _all(calls: Sequence[Call]) -> list[list[Outcome]]:
    if len(calls) == 1:
        return [await calls[0].answered]
    await asyncio.wait([call.answered for call in calls])
    return [call.answered.result() for call in calls]


def _parts(
    calls: Sequence[Call], done: Mapping[int, Response]
) -> Iterator[tuple[Call, dict[int, Outcome]]]:
    """Calls of a batch, and what is done of each, by place."""
    first = 0
    for call in calls:
        rows = range(first, first + len(call.requests))
        yield call, {row - first: done[row] for row in rows if row in done}
        first = rows.stop


def _because(error: Exception) -> str:
    """Why a plain item is shown when this happened."""
    if isinstance(error, StoreError):
        return "store_unavailable"
    return "overloaded" if isinstance(error, BusyError) else "failed"
