"""Ask a language model many things at once: cached, counted, limited, tried again.

The model is behind any endpoint that speaks OpenAI's chat completions. `LLMClient.ask` is
synchronous; underneath, `concurrency` tasks share one event loop. An answer is committed to the
cache before anyone sees it, so a run that was killed goes on from there and pays nothing twice.
"""

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from proactrec.errors import InvalidInputError
from proactrec.llm.asker import Asked, Asker
from proactrec.llm.budget import Usage
from proactrec.llm.cache import Answer, AnswerCache
from proactrec.llm.errors import LLMError
from proactrec.llm.messages import Feature, Message, Question
from proactrec.llm.options import LLMOptions
from proactrec.progress import Progress, silent

STAGE = "asking"
PROGRESS_S = 0.2
T = TypeVar("T")


class LoopThread:
    """Runs coroutines for callers that are synchronous, or have a loop of their own (notebooks)."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Start a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        """Stop the loop and end the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class LLMClient:
    """Asks one language model, and remembers what it said.

    `close` it in the end.

    Parameters
    ----------
    cache : AnswerCache
        Shared with whom you like; the client does not close it.
    replay : bool
        Never touch the network: an answer that is not in the cache is an error.
    progress : Progress
        Told how many prompts are answered, from the calling thread.
    """

    def __init__(
        self,
        options: LLMOptions,
        cache: AnswerCache,
        *,
        replay: bool = False,
        progress: Progress = silent,
    ) -> None:
        self.options, self.cache, self.usage = options, cache, Usage()
        self._replay, self._progress = replay, progress
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._asker: Asker | None = None

    def ask(
        self, prompts: Sequence[tuple[Message, ...]], *, wants: Sequence[Feature] = ()
    ) -> list[Answer]:
        """One answer a prompt, in order; the same prompt is asked once.

        Parameters
        ----------
        wants : sequence of {"logprobs", "digit schema"}
            What to ask for, best first. An endpoint that refuses it is found out by the first
            requests and then asked for the next; `Answer.top_logprobs` is None without "logprobs".

        Raises
        ------
        LimitReachedError
            If the next request would pass a limit. What was under way is stored first.
        LLMError
            If the model cannot be asked, or a replay lacks an answer.
        """
        if not all(prompts):
            raise InvalidInputError("every prompt must hold a message, got one without")
        n_tokens = self.options.max_answer_tokens
        questions = [Question(tuple(prompt), n_tokens, tuple(wants)) for prompt in prompts]
        keys = [question.key(self.options) for question in questions]
        entries = self.cache.get_many(list(dict.fromkeys(keys)))
        missing = {k: q for k, q in zip(keys, questions, strict=True) if k not in entries}
        self._count_cached(len(keys) - len(missing))
        if missing:
            self._ask_missing(missing, entries)
        return [entries[key] for key in keys]

    def close(self) -> None:
        """Close connections and thread; the cache stays open."""
        with self._lock:
            thread, asker, self._thread, self._asker = self._thread, self._asker, None, None
        if thread is not None and asker is not None:
            thread.submit(asker.close()).result()
            thread.close()

    def _ask_missing(self, missing: Mapping[bytes, Question], entries: dict[bytes, Answer]) -> None:
        """Add what is missing to `entries`."""
        if self._replay:
            raise LLMError(
                f"a replay may not ask the model, and {len(missing)} of"
                f" {len(missing) + len(entries)} answers are not in {self.cache.path}"
            )
        batch = Asked(missing)
        thread, asker = self._started()
        future = thread.submit(asker.answer(batch))
        try:
            self._wait(future, batch, thread, len(entries))
        finally:
            self._count_cached(len(batch.stored_by_others))
        if batch.error is not None:
            raise batch.error
        entries |= batch.entries

    def _wait(
        self,
        future: "concurrent.futures.Future[None]",
        batch: Asked,
        thread: LoopThread,
        n_stored: int,
    ) -> None:
        """Wait and tell how far it is; Ctrl-C waits for what was sent, a second one does not."""
        while not future.done():
            try:
                concurrent.futures.wait((future,), PROGRESS_S)
                n_total = n_stored + batch.n_questions
                self._progress(STAGE, n_stored + len(batch.entries), n_total)
            except KeyboardInterrupt as interrupt:
                if batch.error is not None:
                    future.cancel()
                    raise
                thread.loop.call_soon_threadsafe(batch.stop, interrupt)
        future.result()

    def _started(self) -> tuple[LoopThread, Asker]:
        """Thread and asker; they start when first needed, as a full cache needs neither."""
        with self._lock:
            if self._asker is None or self._thread is None:
                self._asker = Asker(self.options, self.cache, self.usage)
                self._thread = LoopThread("proactrec-llm")
            return self._thread, self._asker

    def _count_cached(self, n: int) -> None:
        with self._lock:
            self.usage.n_cached += n
