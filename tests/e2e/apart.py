"""Commands in processes that load torch together, once, and are killed one by one."""

import os
import signal
import sys
from multiprocessing import get_context
from pathlib import Path

APART = get_context("forkserver")
APART.set_forkserver_preload(["proactrec.cli.run", "proactrec.cli.forecast", __name__])


class Apart:
    """The real program in a process of its own, with one thread; asked as `Popen` is."""

    def __init__(self, arguments: list[str], told: Path) -> None:
        self._told = told
        self._process = APART.Process(target=_run, args=(arguments, str(told)))
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """Negative: of the signal that ended it; None: it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, which: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, which)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for its end; what it printed, and what it had to say on errors."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"it has not ended within {timeout} s")
        return "", self._told.read_text()


def _run(arguments: list[str], told: str) -> None:
    import torch

    from proactrec.cli.main import main

    os.environ.pop("PROACTREC_DATA", None)
    torch.set_num_threads(1)
    file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())
    sys.argv = ["proactrec", *arguments]
    main()
