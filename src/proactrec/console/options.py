"""How the console is reached, which service it shows, and how people sign in."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.serving.calling import checked_url


class ConsoleOptions(Options):
    """Of a console."""

    api: str = Field(description="URL of the service, e.g. http://127.0.0.1:8080")
    oidc_issuer: str | None = Field(
        None, description="URL of the OpenID Connect issuer whose people the service takes"
    )
    oidc_client_id: str | None = Field(None, description="by which the issuer knows the console")
    oidc_secret: str | None = Field(
        None, repr=False, description="that it has agreed on with the issuer, if any"
    )
    idle_minutes: int = Field(
        480, ge=1, le=525_600, description="who did nothing for so long must sign in again"
    )

    @field_validator("api", "oidc_issuer")
    @classmethod
    def _a_url(cls, url: str | None) -> str | None:
        return None if url is None else checked_url(url)

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise InvalidInputError("oidc_issuer and oidc_client_id are given together, got one")
        return self
