"""One process of the service: an instance behind a socket that its parent has bound.

Run by :mod:`proactrec.serving.supervisor`, as `proactrec.cli.serve` says.
"""

import argparse
import asyncio
import gc
import logging
import os
import secrets
import socket
import sys
import time
from pathlib import Path
from types import FrameType

import uvicorn

from proactrec.errors import StoreError
from proactrec.serving.app import create_app
from proactrec.serving.connections import Connection
from proactrec.serving.guides import Guides
from proactrec.serving.host import Host
from proactrec.serving.instance import Instance
from proactrec.serving.logs import log_to_stderr
from proactrec.serving.safety import SafetyOptions
from proactrec.serving.service import Service
from proactrec.serving.supervisor import DATABASE, READY, instance_name
from proactrec.serving.tidying import Tidier
from proactrec.serving.traces import traces_of
from proactrec.store.database import Database
from proactrec.store.leases import Leases
from proactrec.threads import stand_beside_others

SWITCH_SECONDS = 0.0005
"""The thread that answers waits no longer than this for the one that decides."""
GRACE_SECONDS = 20
DRAIN_SECONDS = 2.0
"""Callers have so long to bring their last request by a connection that is open."""

LOG = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """Stops without a request that fails: others answer whoever comes by a new connection.

    What comes by one that is open is answered, and told that it is the last; only then are those
    closed on which nothing came.
    """

    def __init__(self, config: uvicorn.Config, instance: Instance) -> None:
        super().__init__(config)
        self._instance = instance

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully."""
        self._instance.is_stopping = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and say so to the parent."""
        await super().startup(sockets)
        if self.started and (writer := os.environ.pop(READY, None)):
            os.write(int(writer), b".")
            os.close(int(writer))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain all connections, and end."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        end = time.monotonic() + DRAIN_SECONDS
        while self.server_state.connections and not self.force_exit and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def instance_of(
    folder: Path, database: Database, safety: SafetyOptions, lease_block: int = 0
) -> Service:
    """All of an instance, with the guide of a folder."""
    guides = Guides(folder)
    guides.prepare(())
    leases = Leases(secrets.token_hex(8), lease_block) if lease_block else None
    host = Host(database, guides, leases=leases)
    instance = Instance(host, traces=traces_of(instance_name()))
    return Service(database.apart(), instance, safety.door(database))


def serve(service: Service, listener: socket.socket, safety: SafetyOptions) -> None:
    """Answer until a signal says to stop."""
    config = uvicorn.Config(
        create_app(service),
        loop="uvloop",
        http=Connection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        **safety.server(),
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    tidier = Tidier(service.instance.lets_go)
    tidier.start()
    Server(config, service.instance).run(sockets=[listener])
    tidier.stop()


def main() -> None:
    """What the command line says."""
    gc.freeze()  # what is loaded stays
    gc.enable()
    parser = argparse.ArgumentParser()
    parser.add_argument("--guide", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True, help="of the socket that listens")
    parser.add_argument("--lease-block", type=int, default=0, help="offers; 0: no leases")
    parser.add_argument("--safety", type=SafetyOptions.model_validate_json, required=True)
    asked = parser.parse_args()
    log_to_stderr()
    stand_beside_others()
    sys.setswitchinterval(SWITCH_SECONDS)
    database = Database(os.environ[DATABASE])
    try:
        database.migrate()  # this version may be newer than the one that made the schema
    except StoreError as error:
        LOG.warning("%s", error)
    service = instance_of(asked.guide, database, asked.safety, asked.lease_block)
    serve(service, socket.socket(fileno=asked.fd), asked.safety)


if __name__ == "__main__":
    main()
