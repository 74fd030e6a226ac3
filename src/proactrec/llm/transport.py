"""One request over aiohttp: what it hides and calls a failure.

Measured per call: the openai library spends as much CPU again on models, headers and addresses as
everything else here takes, and its retries would not wait for each other. A chat completion is one
POST; bodies go out as bytes and come back as text.
"""

import asyncio
import email.utils
import json
import os
import time
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from proactrec.errors import MissingExtraError
from proactrec.llm.errors import INSTALL, LLMError, RefusedRequestError, RetryableError
from proactrec.llm.options import LLMOptions

if TYPE_CHECKING:
    import aiohttp

KEY = "PROACTREC_LLM_KEY"
OPENAI_KEY, OPENAI_HOST = "OPENAI_API_KEY", "api.openai.com"
NO_KEY = "none"  # local servers want some key, any will do
PASSING = (408, 409, 425, 429)
REFUSED = (400, 422, 501)
MAX_SHOWN = 300


class Transport:
    """Sends chat completion requests, each once; the key is read from the environment."""

    def __init__(self, options: LLMOptions) -> None:
        try:
            import aiohttp
        except ImportError as error:
            raise MissingExtraError(INSTALL) from error
        self._options = options
        self._key = _key_for(options.url)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes) -> str:
        """Text of the response.

        Raises
        ------
        RetryableError
            After 429, 5xx, a timeout or a lost connection.
        RefusedRequestError
            If the request is not to the server's liking.
        LLMError
            After any other status.
        """
        import aiohttp

        if self._session is None:
            self._session = self._connect()
        try:
            async with asyncio.timeout(self._options.timeout_s):  # from first to last byte
                url = f"{self._options.url}/chat/completions"
                async with self._session.post(url, data=body, allow_redirects=False) as reply:
                    text = await reply.text(errors="replace")
        except TimeoutError as error:
            sentence = f"no answer within {self._options.timeout_s:g} s"
            raise RetryableError("timeout", sentence) from error
        except (aiohttp.ClientError, OSError) as error:
            sentence = f"connection lost ({type(error).__name__})"
            raise RetryableError("connection", sentence) from error
        if reply.status != 200:
            raise self._status_error(reply.status, text, reply.headers)
        return text

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _connect(self) -> "aiohttp.ClientSession":
        import aiohttp

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the caller limits both
            timeout=aiohttp.ClientTimeout(),
            # A proxy from the environment is for the world outside, not for this machine.
            trust_env=not _is_this_machine(self._options.url),
            headers={
                "Authorization": f"Bearer {self._key}",
                "Content-Type": "application/json",
                "User-Agent": "proactrec",
            },
        )

    def _status_error(self, status: int, text: str, headers: Mapping[str, str]) -> Exception:
        said, url = self._said(status, text), self._options.url
        if status in REFUSED:
            return RefusedRequestError(said)
        if status in PASSING or status >= 500:
            kind = "rate limit" if status == 429 else "server error"
            return RetryableError(kind, said, _retry_after_s(headers))
        if status in (401, 403):  # what the server says may repeat the key
            return LLMError(f"{url} answered {status}: set its key in {KEY}")
        hint = f"; is there a model {self._options.model!r}?" if status == 404 else ""
        return LLMError(f"{url}: {said}{hint}")

    def _said(self, status: int, text: str) -> str:
        """Status and reason, without the key and not too long."""
        said = " ".join(_reason(text).split())
        if self._key != NO_KEY:
            said = said.replace(self._key, "[key]")
        return f"status {status} ({said[:MAX_SHOWN]})"


def _reason(text: str) -> str:
    """What a server says went wrong: OpenAI's place for it, or all there is."""
    try:
        found = json.loads(text)["error"]["message"]
    except (ValueError, LookupError, TypeError):
        return text
    return found if isinstance(found, str) else text


def _key_for(url: str) -> str:
    """Our key, else OpenAI's if it is OpenAI that is asked: nobody else is to see that one."""
    names = [KEY, OPENAI_KEY] if urlsplit(url).hostname == OPENAI_HOST else [KEY]
    return next((os.environ[name] for name in names if os.environ.get(name)), NO_KEY)


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds to wait, from `Retry-After` in seconds or as a date; 0 if it says nothing."""
    text = headers.get("retry-after", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
