"""What the HTTP service may be told."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, PlainValidator
from pydantic.dataclasses import dataclass

from demand.errors import SettingsError
from demand.settings import STRICT

Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True, ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


def _auto_or_rate(value: object) -> object:
    if value == "auto" or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0):
        return value
    raise ValueError("must be auto or a number above 0")


AutoOrRate = Annotated[Literal["auto"] | float, PlainValidator(_auto_or_rate)]


@dataclass(frozen=True, config=STRICT)
class ServeSettings:
    """The HTTP service.

    host, port: where it listens; any host but this machine's own loopback needs a token. allowed_hosts: names by which
    clients may call it, beside those of loopback. require_token: also on loopback. replicas: processes that answer.
    ingress: who accepts connections, Ray's own proxy or HAProxy. cache_mb: bytes of answers kept, a replica.
    max_body_kb, max_upload_mb, max_upload_rows: the largest body, and the largest uploaded file; upload_ttl_hours: how
    long an upload is kept. body_seconds: how long a client may take to send a body. max_concurrent: requests worked on
    at once, a replica; more are told to come again. max_connections: open at once, at most three quarters of them of
    one address. rate_per_second: requests of one client (auto = without a limit on loopback, 200 elsewhere);
    changes_per_minute: the same for what changes something. Each replica lets its share of both through, at least one
    call at once: over time never more than the rate together, and less where the calls are spread unevenly.
    follow_seconds: how often the champion is looked up.
    a_b_testing: the release under the alias `challenger` answers `challenger_share` of the styles; challenger_shadow:
    it is asked about them and never shown. canary_deployment: it begins with `canary_share`, which doubles every
    `canary_hours` up to `challenger_share`, and goes back by itself when it fails more often than the champion.
    """

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] = 8000
    allowed_hosts: tuple[str, ...] = ()
    require_token: Flag = False
    replicas: Whole = 2
    ingress: Literal["proxy", "haproxy"] = "proxy"
    cache_predictions: Flag = True
    cache_ttl_hours: Annotated[float, Field(strict=True, gt=0)] = 24
    cache_mb: Whole = 64
    log_predictions: Flag = True
    max_body_kb: Whole = 1024
    max_upload_mb: Whole = 50
    max_upload_rows: Annotated[int, Field(strict=True, ge=1, le=50_000_000)] = 2_000_000
    upload_ttl_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 24.0
    body_seconds: Seconds = 10.0
    max_concurrent: Whole = 64
    max_connections: Whole = 1024
    rate_per_second: AutoOrRate = "auto"
    changes_per_minute: Whole = 60
    follow_seconds: Annotated[float, Field(gt=0, le=1)] = 0.5
    a_b_testing: Flag = False
    canary_deployment: Flag = False
    challenger_share: Share = 0.1
    challenger_shadow: Flag = False
    canary_share: Share = 0.02
    canary_hours: Annotated[float, Field(gt=0)] = 12.0

    def __post_init__(self) -> None:
        if self.replicas > self.changes_per_minute:
            raise SettingsError(
                "each replica must be able to let one change a minute through", key="serve.changes_per_minute",
                found=self.changes_per_minute, replicas=self.replicas,
                hint="Set serve.changes_per_minute to the number of replicas or more",
            )  # fmt: skip
        if self.canary_deployment and self.challenger_shadow:
            raise SettingsError(
                "a canary is shown: in shadow nothing could go back", key="serve.challenger_shadow", found=True,
                hint="Set serve.canary_deployment=false or serve.challenger_shadow=false",
            )  # fmt: skip
        if self.host != "localhost":
            try:
                ipaddress.ip_address(self.host)
            except ValueError:
                raise SettingsError(
                    "must be an address of this machine", key="serve.host", found=self.host,
                    hint="Write an address such as 127.0.0.1 or 0.0.0.0; names of it go into serve.allowed_hosts",
                ) from None  # fmt: skip

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback

    @property
    def needs_token(self) -> bool:
        """Whether a call without a token is refused."""
        return self.require_token or not self.on_loopback
