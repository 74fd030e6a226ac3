"""When to try again: waits between attempts, and the breaker that pauses all callers."""

import asyncio
import random
import time

from proactrec.llm.errors import LLMError, RetryableError
from proactrec.llm.options import LLMOptions

# Waits must differ between processes that met the same overload, and no result depends on them.
_jitter = random.SystemRandom()


def backoff_s(options: LLMOptions, n_failed: int, retry_after_s: float = 0.0) -> float:
    """Seconds to wait after the n-th failure: doubled each time, jittered, not before told."""
    longest = min(options.max_backoff_s, options.backoff_s * 2.0 ** min(n_failed - 1, 60))
    return retry_after_s + longest * _jitter.uniform(0.5, 1.0)


class Breaker:
    """Pauses everybody after several failures in a row; then one prompt probes until one passes."""

    def __init__(self, options: LLMOptions) -> None:
        self._options = options
        self._n_failures = self._n_probes = 0
        self._failing_since = self._pause_s = 0.0
        self._is_probing = False
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """True while callers are paused."""
        return self._n_failures >= self._options.n_failures_to_pause

    async def enter(self) -> bool:
        """Wait until a request may be sent; True if it is the probe, which must `leave`."""
        while self.is_open:
            if not self._is_probing:
                self._is_probing = True
                try:
                    await asyncio.sleep(self._pause_s)
                except asyncio.CancelledError:
                    self.leave()
                    raise
                return True
            await self._changed.wait()
        return False

    def leave(self) -> None:
        """The probe is over, whatever came of it."""
        self._is_probing = False
        self._wake()

    def succeeded(self) -> None:
        """The server answers: all may go on."""
        if self._n_failures:
            self._n_failures = self._n_probes = 0
            self._wake()

    def failed(self, failure: RetryableError, *, is_probe: bool) -> None:
        """Count a failure.

        Raises
        ------
        LLMError
            If the server asks for more patience than we have, or has failed for as long.
        """
        patience, now = self._options.give_up_s, time.monotonic()
        if failure.retry_after_s > patience:
            raise LLMError(
                f"{self._options.url} asks to wait {failure.retry_after_s:.0f} s, longer than"
                f" give_up_s={patience:g}: {failure}"
            )
        self._n_failures += 1
        if self._n_failures == 1:
            self._failing_since = now
        if is_probe or self._n_failures == self._options.n_failures_to_pause:
            self._n_probes += 1
            self._pause_s = backoff_s(self._options, self._n_probes, failure.retry_after_s)
        if self.is_open and now - self._failing_since >= patience:
            self.succeeded()  # whoever asks again later gets the same patience
            raise LLMError(
                f"{self._options.url} has only failed for {now - self._failing_since:.0f} s,"
                f" last: {failure}; the same command goes on from the answers in the cache"
            )

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
