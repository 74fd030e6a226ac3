"""Guidance of real users: whoever asks is decided for, and what happened is taken in."""

from importlib.util import find_spec

from proactrec.errors import MissingExtraError

NEEDED = ("fastapi", "uvicorn", "httptools", "httpx2", "joserfc", "prometheus_client")
if any(find_spec(name) is None for name in NEEDED):
    raise MissingExtraError(
        "the service needs fastapi, uvicorn, uvloop, httptools, httpx2, joserfc and "
        "prometheus-client: "
        "pip install 'proactrec[serve]'"
    )
