"""The settings of the control plane: environment first, then a TOML file, then these defaults.

Every setting is `TIDEGATE_<NAME>` in the environment and `<name>` in the file that
`TIDEGATE_CONFIG` names (default `tidegate.toml` in the working folder, if it is there).
"""

import os
from datetime import timedelta
from pathlib import Path

from pydantic import Field, IPvAnyNetwork, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from tidegate import sockets


class Settings(BaseSettings):
    """What an operator may choose. Unknown names in the file are refused."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", extra="forbid", frozen=True)

    database: str = Field(
        default="sqlite:///tidegate.db",
        description="SQLAlchemy URL: sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME",
    )
    api_address: str = Field(
        default="127.0.0.1:18090",
        description="where the management API listens: host:port or unix:/path",
    )
    xds_address: str = Field(
        default="127.0.0.1:18000", description="where Envoys connect: host:port or unix:/path"
    )
    metrics_address: str = Field(
        default="",
        description="where Prometheus scrapes metrics over HTTP: host:port on loopback; empty:"
        " nothing listens",
    )
    member_ranges_allowed: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        description="CIDRs that members may use although they are refused by default, for"
        " instance 127.0.0.0/8 for a trial on one machine",
    )
    lost_after: timedelta = Field(
        default=timedelta(seconds=30),
        description="how long a node's stream may be gone before the node no longer counts",
    )
    fleet_dead_after: timedelta = Field(
        default=timedelta(minutes=2),
        description="how long a fleet may be without a counted node before its pools move to"
        " another fleet that fits",
    )
    move_overlap: timedelta = Field(
        default=timedelta(seconds=30),
        description="how long the old fleet goes on serving a pool that moved, after the new one"
        " is live: the time for routes to follow",
    )
    listener_drain: timedelta = Field(
        default=timedelta(minutes=10),
        description="how long an Envoy drains a listener that is removed (its --drain-time-s): a"
        " fleet that a pool has left keeps the pool's clusters for as long",
    )

    @field_validator("api_address", "xds_address")
    @classmethod
    def _whole_path(cls, address: str) -> str:
        fault = sockets.fault(address)
        if fault:
            raise ValueError(fault)
        return address

    @field_validator("metrics_address")
    @classmethod
    def _host_and_port(cls, address: str) -> str:
        fault = sockets.fault(address) if address else ""
        if fault or address.startswith(sockets.UNIX):
            example = "write HOST:PORT, for instance 127.0.0.1:18091, or nothing"
            raise ValueError(fault if fault.startswith("there is no port") else example)
        return address

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Gives the sources in order: arguments, environment, secrets' files, TOML file."""
        path = Path(os.environ.get("TIDEGATE_CONFIG", "tidegate.toml"))
        toml = TomlConfigSettingsSource(settings_cls, toml_file=path)
        return init_settings, env_settings, file_secret_settings, toml
