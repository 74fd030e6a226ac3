"""What stops the asking of a language model."""

from proactrec.errors import ProactrecError

INSTALL = "language models need aiohttp: pip install 'proactrec[llm]'"


class LLMError(ProactrecError):
    """The language model cannot be asked; answers that came before are in the cache."""


class LimitReachedError(LLMError):
    """The next request would pass a limit on requests, tokens or money; nothing was sent."""


class RetryableError(Exception):
    """One request failed in a way that may pass; usage counts it by `kind`.

    `retry_after_s` are seconds that the server asks to wait, 0 if it does not say.
    """

    def __init__(self, kind: str, sentence: str, retry_after_s: float = 0.0) -> None:
        super().__init__(sentence)
        self.kind, self.retry_after_s = kind, retry_after_s


class RefusedRequestError(Exception):
    """Something in the request is not to the server's liking."""
