"""Two servers of a real language model, each in a process of its own on this machine."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SERVER = Path(__file__).with_name("tiny_server.py")
TRANSFORMERS = Path(sys.executable).with_name("transformers")
OFFLINE = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
START_S = 120.0


class TinyServer:
    """`tiny_server.py`: it tells probabilities, refuses prompts that are too long, and counts."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.model, self.port = folder.name, 0
        self._folder, self._log = folder, log
        self._process: subprocess.Popen[str] | None = None
        log.touch()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Start it if it does not run, the second time at the same port."""
        if self._process is not None:
            return
        self._process = subprocess.Popen(
            [sys.executable, str(SERVER), str(self.port), str(self._log), str(self._folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | OFFLINE,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def cpu_seconds(self) -> float:
        """Processor time that it took since it was started."""
        assert self._process is not None
        said = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(said[11]) + int(said[12])) / os.sysconf("SC_CLK_TCK")

    def answered(self) -> list[str]:
        """Hashes of prompts, one for each answer, in the order of the answers."""
        return self._log.read_text().split("\n")[:-1]

    def wait_for(self, n_answers: int, asking: "subprocess.Popen[str] | None" = None) -> None:
        """Wait until it has answered so often, as long as whoever asks lives."""
        end = time.monotonic() + START_S
        while len(self.answered()) < n_answers:
            assert asking is None or asking.poll() is None, "nobody asks any more"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.01)


class TransformersServe:
    """`transformers serve`, a server that is not ours; its model's name is the folder's path."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.model = str(folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        command = [str(TRANSFORMERS), "serve", self.model, "--device", "cpu"]
        with log.open("w") as file:
            self._process = subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(self.port)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | OFFLINE | {"HF_HOME": str(log.parent / "hub")},
            )
        end = time.monotonic() + START_S
        while not self._is_ready():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health") as reply:
                return bool(reply.status == 200)
        except OSError:
            return False
