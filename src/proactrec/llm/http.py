"""The HTTP client that the openai library is given: aiohttp, with nothing between the two.

The library's own (httpx2, or aiohttp below httpx2) merges headers, addresses, cookies and redirects
for each request; without that a call costs about a fifth less CPU, and with aiohttp's parser about
half.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

KEPT = ("content-type", "retry-after", "x-request-id")


def http_client(*, trust_env: bool) -> "httpx2.AsyncClient":
    """A client for the openai library; failed connections raise `aiohttp.ClientError`.

    Parameters
    ----------
    trust_env : bool
        Use the proxies of the environment.
    """
    import aiohttp
    import httpx2

    class Client(httpx2.AsyncClient):
        """Builds and sends requests as they come; keeps connections open."""

        session: aiohttp.ClientSession | None = None

        def build_request(
            self,
            method: str,
            url: Any,
            *,
            content: Any = None,
            headers: Any = None,
            **_: Any,
        ) -> httpx2.Request:
            return httpx2.Request(method, url, headers=headers, content=content)

        async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
            if self.session is None:
                self.session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0),  # the caller limits both
                    timeout=aiohttp.ClientTimeout(),
                    trust_env=trust_env,
                )
            async with self.session.request(
                request.method,
                str(request.url),
                data=request.content,
                headers=request.headers.multi_items(),
                allow_redirects=False,
            ) as got:
                body = await got.read()
            headers = {name: got.headers[name] for name in KEPT if name in got.headers}
            return httpx2.Response(got.status, headers=headers, content=body, request=request)

        async def aclose(self) -> None:
            if self.session is not None:
                await self.session.close()
            await super().aclose()

    return Client(trust_env=False)
