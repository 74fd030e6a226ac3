"""One request over the openai library: what it costs, hides and calls a failure.

Measured per call: ``chat.completions.create`` spends most of its CPU on pydantic models and httpx
headers. So bodies go out as bytes and come back as text (`client.post`), over aiohttp (`http.py`),
and without the headers that tell of this machine.
"""

import asyncio
import email.utils
import os
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proactrec.errors import MissingExtraError
from proactrec.llm.errors import INSTALL, LLMError, RefusedRequestError, RetryableError
from proactrec.llm.http import http_client
from proactrec.llm.options import LLMOptions

if TYPE_CHECKING:
    import openai

KEY = "PROACTREC_LLM_KEY"
OPENAI_KEY, OPENAI_HOST = "OPENAI_API_KEY", "api.openai.com"
NO_KEY = "none"  # local servers want some key, any will do
ABOUT_US = ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async")
PASSING = (408, 409, 425, 429)
REFUSED = (400, 422, 501)
MAX_SHOWN = 300


class Transport:
    """Sends chat completion requests, each once; the key is read from the environment."""

    def __init__(self, options: LLMOptions) -> None:
        try:
            import aiohttp  # noqa: F401
            import openai
        except ImportError as error:
            raise MissingExtraError(INSTALL) from error
        self._options = options
        self._key = _key_for(options.url)
        self._client: openai.AsyncOpenAI | None = None
        self._headers = {
            f"x-stainless-{name}": openai.Omit() for name in ("retry-count", "read-timeout")
        }

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
        import openai

        if self._client is None:
            self._client = self._connect()
        try:
            async with asyncio.timeout(self._options.timeout_s):  # from first to last byte
                return await self._client.post(
                    "/chat/completions", cast_to=str, content=body, options=self._request_options()
                )
        except TimeoutError as error:
            sentence = f"no answer within {self._options.timeout_s:g} s"
            raise RetryableError("timeout", sentence) from error
        except openai.APIStatusError as error:
            raise self._status_error(error) from None  # whose message may hold the key
        except (aiohttp.ClientError, OSError) as error:
            sentence = f"connection lost ({type(error).__name__})"
            raise RetryableError("connection", sentence) from error
        except openai.OpenAIError as error:
            raise RetryableError("broken answer", type(error).__name__) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _request_options(self) -> Any:
        return {"headers": self._headers}

    def _connect(self) -> "openai.AsyncOpenAI":
        import openai

        return openai.AsyncOpenAI(
            base_url=self._options.url,
            api_key=self._key,
            max_retries=0,  # ours are counted, and wait for each other
            timeout=None,
            # A proxy from the environment is for the world outside, not for this machine.
            http_client=http_client(trust_env=not _is_this_machine(self._options.url)),
            default_headers={f"X-Stainless-{name}": openai.Omit() for name in ABOUT_US},  # type: ignore[misc]
        )

    def _status_error(self, error: "openai.APIStatusError") -> Exception:
        status, url = error.status_code, self._options.url
        if status in REFUSED:
            return RefusedRequestError(self._said(error))
        if status in PASSING or status >= 500:
            kind = "rate limit" if status == 429 else "server error"
            return RetryableError(kind, self._said(error), _retry_after_s(error.response.headers))
        if status in (401, 403):  # what the server says may repeat the key
            return LLMError(f"{url} answered {status}: set its key in {KEY}")
        hint = f"; is there a model {self._options.model!r}?" if status == 404 else ""
        return LLMError(f"{url}: {self._said(error)}{hint}")

    def _said(self, error: "openai.APIStatusError") -> str:
        """Status and message, without the key and not too long."""
        said = " ".join(error.message.split())
        if said == f"Error code: {error.status_code}":  # a reason that is not where OpenAI has it
            said = " ".join(error.response.text.split())
        if self._key != NO_KEY:
            said = said.replace(self._key, "[key]")
        return f"status {error.status_code} ({said[:MAX_SHOWN]})"


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


def _retry_after_s(headers: Any) -> float:
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
