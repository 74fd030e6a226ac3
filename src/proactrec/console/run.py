"""A console that listens, until it is told to stop."""

import logging
import socket
import warnings

import uvicorn

from proactrec.console.app import create_app
from proactrec.console.options import ConsoleOptions

logger = logging.getLogger(__name__)


def run(options: ConsoleOptions, listener: socket.socket) -> None:
    """Serve the console on a socket."""
    warnings.filterwarnings("ignore", category=FutureWarning, module="nicegui")
    config = uvicorn.Config(
        create_app(options),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=options.behind_proxy is not None,
        forwarded_allow_ips=options.behind_proxy or "",
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run([listener])
