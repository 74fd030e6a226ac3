"""`proactrec console`: campaigns in a browser."""

import logging
import os
from typing import Annotated, Any

import typer

from proactrec.cli.flags import built, flags_of, takes
from proactrec.console.options import ConsoleOptions
from proactrec.serving.safety import SafetyOptions

FLAGS = flags_of(ConsoleOptions, None, "oidc_issuer", "oidc_client_id", "idle_minutes")
WAY = flags_of(SafetyOptions, "Safety", "behind_proxy", "tls_cert", "tls_key")
SECRET = "PROACTREC_OIDC_SECRET"
"""Environment variable: all may see a command line."""
logger = logging.getLogger(__name__)


@takes({**FLAGS, **WAY})
def console(
    api: Annotated[
        str,
        typer.Option(envvar="PROACTREC_API", help="URL of the service, made by `proactrec serve`."),
    ] = "http://127.0.0.1:8080",
    host: Annotated[
        str, typer.Option(help="Address to listen on; only this machine can reach the default.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8081,
    **values: Any,
) -> None:
    """Open a console of a service, in which campaigns are made, watched and stopped.

    People sign in with a key of the service, or by OpenID Connect; what they see and may do is what
    their key may. Keys stay in this process's memory: after a restart people sign in again. Where
    an issuer wants a secret of its clients, PROACTREC_OIDC_SECRET holds it.

    Example: proactrec console --api http://127.0.0.1:8080
    """
    from proactrec.cli.serve import bound, reached_at
    from proactrec.console.run import run
    from proactrec.serving.logs import log_to_stderr

    options = built(ConsoleOptions, FLAGS, values, api=api, oidc_secret=os.environ.get(SECRET))
    safety = built(SafetyOptions, WAY, values)
    listener = bound(host, port)
    log_to_stderr()
    if (warning := safety.warning(listener.getsockname()[0])) is not None:
        logger.warning("%s", warning)
    scheme = "http" if safety.tls_cert is None else "https"
    logger.info("the console of %s is at %s", options.api, reached_at(listener, scheme))
    run(options, listener, safety.server())
