"""Connections by name: which there are, their settings, and a client that is ready to speak.

Settings come through dlt's configuration providers, in this order: the environment
(`CONNECTIONS__<NAME>__<SETTING>`), `[connections.<name>]` in `.dlt/secrets.toml`, the same in `.dlt/config.toml`, then
whatever vault dlt is configured with. Every platform room gives a connection of its own name; any other name becomes
one by saying `platform = "..."`; `enabled = false` takes one away. Nothing is read when this module is imported.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from ingestion.errors import ConfigError
from platforms.kit import registry
from platforms.kit.budget import Budget
from platforms.kit.context import ClientContext, utc_now
from platforms.kit.registry import PlatformSpec
from platforms.kit.secrets import Secret

SECTION = "connections"
PROJECT_ROOT = Path(__file__).resolve().parent.parent

# What any connection may set, whatever its platform.
_COMMON_SETTINGS = ("platform", "enabled", "ca_bundle", "requests_per_second", "burst", "concurrency", "timeout")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Connection:
    """One named connection: its platform and its settings; secret ones as `Secret`. Safe to print."""

    name: str
    spec: PlatformSpec
    settings: Mapping[str, str | Secret]

    @property
    def platform(self) -> str:
        """The platform room's name."""
        return self.spec.name

    @property
    def dataset(self) -> str:
        """The dlt dataset, DuckDB schema and dbt source that this connection fills."""
        return f"raw_{self.spec.name}"


def environment_name(connection: str, setting: str) -> str:
    """The environment variable of one setting: ('salesforce', 'client_id') -> CONNECTIONS__SALESFORCE__CLIENT_ID."""
    return f"{SECTION}__{connection}__{setting}".upper()


def settings_folder() -> Path:
    """The `.dlt` folder whose config.toml and secrets.toml hold: of DLT_PROJECT_DIR, of the working folder, or ours."""
    configured = os.environ.get("DLT_PROJECT_DIR")
    if configured:
        return Path(configured) / ".dlt"
    here = Path.cwd() / ".dlt"
    return here if here.is_dir() else PROJECT_ROOT / ".dlt"


def check_files() -> None:
    """Raise ConfigError naming file and line when a settings file is not TOML (dlt does not say the line)."""
    for name in ("config.toml", "secrets.toml"):
        file = settings_folder() / name
        if not file.is_file():
            continue
        try:
            tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} is not valid TOML: {error}.", next_step="Correct that line.") from None


def names() -> list[str]:
    """The names of all connections there are, sorted. Needs no credentials."""
    providers = _providers()
    rooms = set(registry.platform_names())
    found = rooms | {name for name in _configured_names(providers) if _value(providers, name, "platform")}
    return sorted(name for name in found if not _is_off(_value(providers, name, "enabled")))


def configured_names() -> list[str]:
    """Those of `names` that have any setting in the environment or a file, sorted."""
    return sorted(set(names()) & _configured_names(_providers()))


def platform_of(name: str) -> str:
    """The platform of a connection, without looking at its other settings. Raises ConfigError for an unknown name."""
    configured = _value(_providers(), name, "platform")
    platform = configured or name
    rooms = registry.platform_names()
    if platform not in rooms:
        if configured:
            raise ConfigError(
                f"platform is {configured!r}, but there is no such platform; there are {', '.join(rooms)}.",
                connection=name,
                setting="platform",
                next_step=_where(name, "platform"),
            )
        raise ConfigError(
            f"there is no connection {name!r}; there are {', '.join(names())}.",
            connection=name,
            setting="platform",
            next_step=f"Name one of these, or add [{SECTION}.{name}] with platform = one of {', '.join(rooms)}.",
        )
    return platform


def resolve(name: str) -> Connection:
    """The connection `name` with all its settings, secrets wrapped.

    Raises ConfigError naming connection, setting and where to set it, for an unknown platform or a missing setting; the
    message never holds a value. Unknown settings are refused too: a misspelt one would otherwise be silently ignored.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot name a connection.", next_step="Use lower-case letters, digits and underscores."
        )
    providers = _providers()
    spec = registry.spec(platform_of(name))
    settings: dict[str, str | Secret] = {}
    missing: list[str] = []
    for setting in spec.settings:
        value = _value(providers, name, setting.name, secret=setting.secret)
        if value is None or value == "":
            value = setting.default
        if value is None:
            if setting.required:
                missing.append(setting.name)
            continue
        settings[setting.name] = Secret(_unfolded(value)) if setting.secret else value
    if missing:
        helps = {setting.name: setting.help for setting in spec.settings}
        listed = "; ".join(f"{setting} ({helps[setting]})" for setting in missing)
        raise ConfigError(
            f"missing {'setting' if len(missing) == 1 else 'settings'}: {listed}.",
            connection=name,
            setting=missing[0],
            next_step=" ".join(_where(name, setting) for setting in missing),
        )
    known = {setting.name for setting in spec.settings} | {*_COMMON_SETTINGS}
    unknown = sorted(set(_configured_settings(providers, name)) - known)
    if unknown:
        raise ConfigError(
            f"unknown setting {', '.join(unknown)}; {spec.label} has {', '.join(sorted(known))}.",
            connection=name,
            setting=unknown[0],
            next_step="Correct the spelling or remove it.",
        )
    for common in _COMMON_SETTINGS:
        value = _value(providers, name, common)
        if value is not None and common not in ("platform", "enabled"):
            settings.setdefault(common, value)
    return Connection(name=name, spec=spec, settings=settings)


def client(
    name: str,
    home: Path,
    *,
    clock: Callable[[], datetime] = utc_now,
    transport: httpx.BaseTransport | None = None,
    max_wait: float | None = None,
) -> Any:
    """A client of the connection `name`; it has sent nothing yet.

    Its budget (requests per second, requests at once) lies in `<home>/budgets` and is shared with every process that
    uses this connection. `max_wait` in seconds turns a longer wait for its turn into `Wait`. Raises ConfigError.
    """
    connection = resolve(name)
    limits = connection.spec.limits
    rate = _number(connection, "requests_per_second", limits.requests_per_second)
    burst = _number(connection, "burst", limits.burst)
    concurrency = _number(connection, "concurrency", limits.concurrency)
    budget = Budget(
        Path(home) / "budgets",
        name,
        requests_per_second=rate,
        burst=int(burst or 1),
        concurrency=int(concurrency) if concurrency is not None else None,
        max_wait=max_wait,
    )
    bundle = connection.settings.get("ca_bundle")
    if bundle and not Path(str(bundle)).is_file():
        raise ConfigError(
            f"ca_bundle names {bundle}, which is not a file.",
            connection=name,
            setting="ca_bundle",
            next_step=_where(name, "ca_bundle"),
        )
    context = ClientContext(
        connection=name,
        budget=budget,
        transport=transport,
        clock=clock,
        verify=str(bundle) if bundle else True,
        timeout=_number(connection, "timeout", 60.0) or 60.0,
    )
    rooms_own = {setting.name for setting in connection.spec.settings}
    return connection.spec.connect({k: v for k, v in connection.settings.items() if k in rooms_own}, context)


def ingestion_setting(connection: str, setting: str) -> Any:
    """A setting of how a connection is read: `[ingestion.<connection>]`, else `[ingestion]`; None when there is none.

    In the environment: INGESTION__<CONNECTION>__<SETTING> or INGESTION__<SETTING>.
    """
    for provider in _providers():
        for sections in (("ingestion", connection), ("ingestion",)):
            value, _ = provider.get_value(setting, str, None, *sections)
            if value is not None:
                return value
    return None


def _where(name: str, setting: str) -> str:
    return f"Set {environment_name(name, setting)}, or {setting} under [{SECTION}.{name}] in {settings_folder()}."


def _number(connection: Connection, setting: str, default: float | None) -> float | None:
    value = connection.settings.get(setting)
    if value is None:
        return default
    try:
        return float(str(value))
    except ValueError:
        raise ConfigError(
            f"{setting} must be a number, not {str(value)!r}.",
            connection=connection.name,
            setting=setting,
            next_step=_where(connection.name, setting),
        ) from None


def _unfolded(value: str) -> str:
    """A PEM key that came on one line (as environment files force it to) with its line breaks back."""
    return value.replace("\\n", "\n") if value.startswith("-----BEGIN") else value


def _is_off(value: str | None) -> bool:
    return str(value).strip().lower() in ("false", "0", "no", "off")


def _providers() -> list[Any]:
    """dlt's providers: environment, secrets.toml, config.toml of our settings folder, then the vaults dlt is given."""
    from dlt.common.configuration.container import Container
    from dlt.common.configuration.providers import ConfigTomlProvider, EnvironProvider, SecretsTomlProvider
    from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

    check_files()
    folder = str(settings_folder())
    own = [EnvironProvider(), SecretsTomlProvider(folder), ConfigTomlProvider(folder)]
    active = Container()[PluggableRunContext].providers.providers
    vaults = [p for p in active if not isinstance(p, EnvironProvider | SecretsTomlProvider | ConfigTomlProvider)]
    return [*own, *vaults]


def _value(providers: Iterable[Any], name: str, setting: str, *, secret: bool = False) -> str | None:
    from dlt.common.typing import TSecretStrValue

    for provider in providers:
        value, _ = provider.get_value(setting, TSecretStrValue if secret else str, None, SECTION, name)
        if value is not None:
            return str(value)
    return None


def _sections(providers: Iterable[Any]) -> Iterable[Mapping[str, Mapping[str, Any]]]:
    for provider in providers:
        document = getattr(provider, "_config_doc", None)
        if isinstance(document, Mapping) and isinstance(document.get(SECTION), Mapping):
            yield {str(name): section for name, section in document[SECTION].items() if isinstance(section, Mapping)}


def _configured_names(providers: list[Any]) -> set[str]:
    found = {name for sections in _sections(providers) for name in sections}
    prefix = f"{SECTION.upper()}__"
    for variable in os.environ:
        parts = variable.split("__")
        if variable.startswith(prefix) and len(parts) == 3:
            found.add(parts[1].lower())
    return found


def _configured_settings(providers: list[Any], name: str) -> set[str]:
    found = {str(setting) for sections in _sections(providers) for setting in sections.get(name, {})}
    prefix = environment_name(name, "")
    found |= {variable.removeprefix(prefix).lower() for variable in os.environ if variable.startswith(prefix)}
    return found
