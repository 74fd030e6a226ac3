"""Garbage looked for so that nobody waits for it.

A full collection looks at everything that lives: guides and remembered users, up to a second during
which a process answers nobody. So what has outlived a minute is set apart from it, again and again;
reference counts free it all the same. Only where a guide was let go of is everything looked at.
"""

import gc
import threading

EVERY_SECONDS = 60.0


class Tidier(threading.Thread):
    """Sets apart what lives long.

    Parameters
    ----------
    is_left : threading.Event
        Set by whoever lets go of something large.
    every : float, optional
        Seconds.
    """

    def __init__(self, is_left: threading.Event, *, every: float = EVERY_SECONDS) -> None:
        super().__init__(name="tidier", daemon=True)
        self._is_left, self._every = is_left, every
        self._ends = threading.Event()

    def run(self) -> None:
        """Until the process ends."""
        tidy(everything=True)
        while not self._ends.wait(self._every):
            is_left = self._is_left.is_set()
            if is_left:
                self._is_left.clear()  # before: what is let go of meanwhile is for the next time
            tidy(everything=is_left)

    def stop(self) -> None:
        """End soon."""
        self._ends.set()


def tidy(*, everything: bool) -> None:
    """Collect among what came since the last time, or among everything; what stays is set apart."""
    if everything:
        gc.unfreeze()
    gc.collect()
    gc.freeze()
