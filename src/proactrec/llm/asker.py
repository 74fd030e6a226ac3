"""The inside of the client: tasks that send, wait, try again, and stop together."""

import asyncio
import random
from collections.abc import Mapping

from proactrec.llm.breaker import Breaker, backoff_s
from proactrec.llm.budget import Budget, Usage
from proactrec.llm.cache import Answer, AnswerCache
from proactrec.llm.errors import LLMError, RefusedRequestError, RetryableError
from proactrec.llm.messages import Feature, Question, Reply, UnusableReplyError, read_reply
from proactrec.llm.options import LLMOptions
from proactrec.llm.transport import Transport


class Asked:
    """The questions of one call, and how far they are."""

    def __init__(self, questions: Mapping[bytes, Question]) -> None:
        self.n_questions = len(questions)
        # Each process in an order of its own: two that ask the same meet few questions that the
        # other has under way, and find the rest in the cache.
        in_some_order = list(questions.items())
        random.SystemRandom().shuffle(in_some_order)
        self.todo = iter(in_some_order)
        self.entries: dict[bytes, Answer] = {}
        self.stored_by_others: set[bytes] = set()
        self.error: BaseException | None = None
        self.tasks: list[asyncio.Task[None]] = []
        self.in_flight: set[asyncio.Task[None]] = set()

    def is_stopped(self) -> bool:
        """True once nothing new may begin."""
        return self.error is not None

    def stop(self, error: BaseException) -> None:
        """Begin nothing new; what was sent is waited for, since it is paid for."""
        self.error = self.error or error
        for task in self.tasks:
            if task not in self.in_flight and task is not asyncio.current_task():
                task.cancel()


class Asker:
    """Answers batches on one event loop; connections, limits and breaker are shared by them."""

    def __init__(self, options: LLMOptions, cache: AnswerCache, usage: Usage) -> None:
        self._options, self._cache, self._usage = options, cache, usage
        self._transport = Transport(options)
        self._budget, self._breaker = Budget(options, usage), Breaker(options)
        self._slots = asyncio.Semaphore(options.concurrency)
        self._accepted: set[Feature] = set()
        self._refused: set[Feature] = set()  # by an endpoint that then answered without

    async def answer(self, batch: Asked) -> None:
        """Fill in `batch.entries`, or as many as there are when `batch.error` comes up."""
        n_tasks = min(self._options.concurrency, batch.n_questions)
        batch.tasks = [asyncio.create_task(self._work(batch)) for _ in range(n_tasks)]
        await asyncio.gather(*batch.tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()

    async def _work(self, batch: Asked) -> None:
        """Take one question after the other."""
        for key, question in batch.todo:
            try:
                await self._answer_one(batch, key, question)
            except Exception as error:  # handed on to the caller, in `batch.error`
                batch.stop(error)
            if batch.is_stopped():
                return

    async def _answer_one(self, batch: Asked, key: bytes, question: Question) -> None:
        """Ask until there is an answer, the retries are used up, or the batch stops."""
        if stored := self._cache.get_many([key]):  # another process was quicker
            batch.entries |= stored
            batch.stored_by_others.add(key)
            return
        n_failed, is_retry = 0, False
        while not batch.is_stopped():
            is_probe = await self._breaker.enter()
            try:
                batch.entries[key] = await self._attempt(batch, key, question, is_retry=is_retry)
                self._breaker.succeeded()
                return
            except RetryableError as failure:
                n_failed += not self._breaker.is_open  # an outage uses up no retries
                self._note(failure, n_failed, is_probe=is_probe)
                wait_s = backoff_s(self._options, n_failed, failure.retry_after_s)
            finally:
                if is_probe:
                    self._breaker.leave()
            if not batch.is_stopped() and not self._breaker.is_open:
                await asyncio.sleep(wait_s)
            is_retry = True

    def _note(self, failure: RetryableError, n_failed: int, *, is_probe: bool) -> None:
        self._usage.failures[failure.kind] += 1
        self._breaker.failed(failure, is_probe=is_probe)
        if n_failed > self._options.n_retries:
            raise LLMError(
                f"{self._options.url} failed {n_failed} times on the same prompt, last: {failure};"
                " the same command goes on from the answers that are in the cache"
            ) from failure

    async def _attempt(
        self, batch: Asked, key: bytes, question: Question, *, is_retry: bool
    ) -> Answer:
        """One request; more for the first questions at an endpoint that refuses a feature."""
        refused: list[Feature] = []
        while True:
            left = (f for f in question.wants if f not in self._refused and f not in refused)
            feature = next(left, None)
            is_again = is_retry or bool(refused)
            try:
                entry = await self._send(batch, key, question, feature, is_retry=is_again)
            except RefusedRequestError as refusal:
                if feature is None or feature in self._accepted or batch.is_stopped():
                    raise LLMError(f"{self._options.url} refuses a request: {refusal}") from refusal
                self._usage.failures[f"{feature} refused"] += 1
                refused.append(feature)
                continue
            self._take_note(feature, entry)
            self._refused.update(refused)
            return entry

    def _take_note(self, feature: Feature | None, entry: Answer) -> None:
        """Of what the endpoint offers; to ignore a wish for logprobs is to refuse it."""
        if feature == "logprobs" and entry.text and entry.top_logprobs is None:
            self._usage.failures["logprobs ignored"] += 1
            if feature not in self._accepted:
                self._refused.add(feature)
        elif feature is not None:
            self._accepted.add(feature)

    async def _send(
        self,
        batch: Asked,
        key: bytes,
        question: Question,
        feature: Feature | None,
        *,
        is_retry: bool,
    ) -> Answer:
        """Reserve, send, pay, store: from the first byte sent nothing but a kill interrupts it."""
        body, task = question.body(self._options, feature), asyncio.current_task()
        assert task is not None
        async with self._slots:
            estimate = await self._budget.reserve(len(body), question.max_answer_tokens)
            self._usage.n_retries += is_retry
            batch.in_flight.add(task)
            try:
                reply = read_reply(await self._transport.post(body))
                return self._store(key, reply, len(body))
            except UnusableReplyError as error:
                self._budget.pay(*error.tokens)
                raise
            finally:
                batch.in_flight.discard(task)
                self._budget.release(estimate)

    def _store(self, key: bytes, reply: Reply, n_bytes: int) -> Answer:
        """Pay for a reply and commit it; what the cache then holds."""
        prompt_tokens, answer_tokens = reply.prompt_tokens, reply.answer_tokens
        if prompt_tokens is None or answer_tokens is None:
            self._usage.n_uncounted += 1
            guess = self._budget.estimate(n_bytes, 0).prompt_tokens
            prompt_tokens = prompt_tokens or round(guess)
            answer_tokens = answer_tokens or max(1, round(guess * len(reply.text) / n_bytes))
        else:
            self._budget.learn(n_bytes, prompt_tokens)
        cost = self._budget.pay(prompt_tokens, answer_tokens)
        entry = Answer(reply.text, reply.top_logprobs, prompt_tokens, answer_tokens, cost)
        return self._cache.put(key, entry)
