"""How a service is kept safe: who may come, how often, and by which way."""

import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.serving.rates import Rate

if TYPE_CHECKING:
    from proactrec.serving.access import Door
    from proactrec.store.database import Database


class OidcOptions(Options):
    """Whose tokens of people are taken, and which of their claims say what they open."""

    issuer: str = Field(
        description="URL of the OpenID Connect issuer whose tokens of people are taken beside keys"
    )
    client_id: str = Field(min_length=1, description="for whom the tokens must be (`aud`)")
    scope_claim: str = Field(
        "proactrec_scope", description="claim with report, operate or admin, or a list with one"
    )
    tenant_claim: str = Field("proactrec_tenant", description="claim with the tenant")

    @field_validator("issuer")
    @classmethod
    def _is_safe(cls, url: str) -> str:
        if not is_safe(url):
            raise InvalidInputError(
                f"the issuer's URL must begin with https://, or be on this machine, got {url!r}"
            )
        return url


class SafetyOptions(Options):
    """Limits, tokens and the way by which requests come."""

    rate_limit: str | None = Field(
        None,
        description="requests of one key that an instance answers, e.g. 2000/second; any number "
        "by default",
    )
    behind_proxy: str | None = Field(
        None,
        description="addresses or networks, with commas, of what speaks TLS in front: where a "
        "request comes from is believed of these alone (`X-Forwarded-For`)",
    )
    tls_cert: Path | None = Field(None, description="certificate with its chain (PEM), for TLS")
    tls_key: Path | None = Field(None, description="private key (PEM) of it")
    oidc: OidcOptions | None = None

    @field_validator("rate_limit")
    @classmethod
    def _is_rate(cls, text: str | None) -> str | None:
        if text is not None:
            Rate.parse(text)
        return text

    @field_validator("behind_proxy")
    @classmethod
    def _are_addresses(cls, text: str | None) -> str | None:
        try:
            for part in () if text is None else text.split(","):
                ipaddress.ip_network(part.strip())
        except ValueError as error:
            raise ValueError(f"must be addresses or networks, with commas ({error})") from error
        return text

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InvalidInputError("tls_cert and tls_key are given together, got one of them")
        for path in (self.tls_cert, self.tls_key):
            if path is not None and not path.is_file():
                raise InvalidInputError(f"tls_cert and tls_key must be files, got {path}")
        if self.tls_cert is not None and self.tls_key is not None:
            _check_pair(self.tls_cert, self.tls_key)
        return self

    def door(self, database: "Database") -> "Door":
        """Who lets in, by the keys of a store."""
        from proactrec.serving.access import Door
        from proactrec.store.keys import Keys

        issuer = None
        if self.oidc is not None:
            from proactrec.serving.issuer import Issuer  # which loads what reads tokens

            issuer = Issuer(self.oidc)
        rate = None if self.rate_limit is None else Rate.parse(self.rate_limit)
        return Door(Keys(database), issuer, rate)

    def server(self) -> dict[str, Any]:
        """What uvicorn must know of it."""
        return {
            "proxy_headers": self.behind_proxy is not None,
            "forwarded_allow_ips": self.behind_proxy or "",
            "ssl_certfile": self.tls_cert,
            "ssl_keyfile": self.tls_key,
        }

    def warning(self, host: str) -> str | None:
        """What whoever lets others reach this address should know."""
        is_clear = self.tls_cert is None and self.behind_proxy is None
        if not is_clear or ipaddress.ip_address(host).is_loopback:
            return None
        return (
            f"keys and users' data cross the network to {host} in clear: give --tls-cert and "
            "--tls-key, or put what speaks TLS in front and give --behind-proxy its address"
        )


def _check_pair(cert: Path, key: Path) -> None:
    """Refuse what is no certificate and its key, or has a password, which nobody could type."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise InvalidInputError(
            "tls_cert and tls_key must be a certificate and its private key (PEM, without a "
            f"password), got {cert} and {key}: {reason}"
        ) from error


def is_safe(url: str) -> bool:
    """Whether nobody in between can change what comes from there."""
    parts = urlsplit(url)
    is_here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
    return is_here or (parts.scheme == "https" and bool(parts.hostname))
