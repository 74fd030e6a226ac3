"""A console that listens, until it is told to stop."""

import logging
import socket
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import uvicorn

from proactrec.console.app import create_app
from proactrec.console.options import ConsoleOptions

logger = logging.getLogger(__name__)


def run(options: ConsoleOptions, listener: socket.socket, way: Mapping[str, Any]) -> None:
    """Serve the console on a socket; `way`: what uvicorn must know of TLS and proxies."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="nicegui")
    config = uvicorn.Config(
        create_app(options),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        **way,
    )
    with suppress(KeyboardInterrupt):  # it was told to stop, and has closed what was open
        uvicorn.Server(config).run([listener])
