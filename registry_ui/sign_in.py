"""Who lets people in besides passwords: identity providers, as the environment has them. Used by `registry_ui.settings`
only; what becomes of it says `accounts.identity_providers`."""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from registry_ui.environment import Environment, refuse_bad_address, refuse_credentials

LIST = "COUNTERSIGN_OIDC_PROVIDERS"
ONE = "oidc"
"""The id of the provider where no list names several; it is part of the redirect address."""

_ID = re.compile(r"[a-z][a-z0-9_]{0,29}")


def openid_connect(env: Environment) -> dict[str, Any]:
    """django-allauth's provider settings from COUNTERSIGN_OIDC_*; empty when no issuer is named. With a list, each
    provider has its own variables: COUNTERSIGN_OIDC_CORP_ISSUER of the provider corp."""
    ids = _ids(env)
    apps = [_provider(env, ONE, "COUNTERSIGN_OIDC", is_needed=False)]
    if ids and apps[0]:
        env.problems.append(f"COUNTERSIGN_OIDC_ISSUER: is not read beside {LIST}; each provider has its own.")
    if ids:
        apps = [_provider(env, each, f"COUNTERSIGN_OIDC_{each.upper()}", is_needed=True) for each in ids]
    for each in apps if len(ids) > 1 else ():
        if each and not each["settings"]["email_domains"]:
            name = f"COUNTERSIGN_OIDC_{each['provider_id'].upper()}_EMAIL_DOMAINS"
            env.problems.append(
                f"{name}: is not set. With several providers each may vouch for addresses of its own domains alone."
            )
    found = [each for each in apps if each]
    return {"openid_connect": {"APPS": found}} if found else {}


def origins(env: Environment, providers: dict[str, Any]) -> list[str]:
    """Where a sign-in form may lead besides this site: to the identity providers, and to those that they hand on to.

    Chromium holds every redirect after a form against the policy of the page with the form.
    """
    extra = env.words("COUNTERSIGN_OIDC_EXTRA_ORIGINS")
    for origin in extra:
        try:
            refuse_bad_address(origin, ("https", "http"))
            refuse_credentials(origin)
        except ValueError as error:
            env.problems.append(f"COUNTERSIGN_OIDC_EXTRA_ORIGINS: {error}")
    apps = providers.get("openid_connect", {}).get("APPS", [])
    issuers = [app["settings"]["server_url"] for app in apps]
    return [f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, [*issuers, *extra]) if parts.netloc]


@dataclass(frozen=True, slots=True)
class Proxy:
    """The one that signs people in; without a header there is none."""

    header: str
    name_header: str
    groups_header: str
    secret: str = field(repr=False)
    roles: list[tuple[str, str]]
    """As from `role_mapping`."""


def proxy(env: Environment, *, count: int) -> Proxy:
    """From COUNTERSIGN_PROXY_AUTH_*. `count` is COUNTERSIGN_TRUSTED_PROXY_COUNT."""
    name = "COUNTERSIGN_PROXY_AUTH"
    header = env.text(f"{name}_HEADER")
    groups = env.text(f"{name}_GROUPS_HEADER")
    mapping: list[tuple[str, str]] = env.parsed(f"{name}_ROLES", role_mapping, [])
    secret = env.secret(f"{name}_SECRET", min_length=32, required=bool(header), default="")
    if header and not count:
        env.problems.append(f"{name}_HEADER: needs COUNTERSIGN_TRUSTED_PROXY_COUNT to be at least 1.")
    if bool(groups) != bool(mapping) and not env.is_bad(f"{name}_ROLES"):
        env.problems.append(f"{name}_ROLES: and {name}_GROUPS_HEADER go together; one is not set.")
    return Proxy(header, env.text(f"{name}_NAME_HEADER"), groups, secret, mapping if header else [])


def role_mapping(raw: str) -> list[tuple[str, str]]:
    """`ml-leads=reviewer, model-risk=risk` as pairs of a value of the claim and a role or group. Commas and `=` in a
    value are percent-encoded. Raises ValueError, with a sentence."""
    found = []
    for entry in filter(None, map(str.strip, raw.split(","))):
        value, _, group = entry.rpartition("=")
        pair = (unquote(value.strip()), unquote(group.strip()))
        if not all(pair):
            raise ValueError(f"{entry!r} is not of the form group-at-the-provider=role.")
        found.append(pair)
    return found


def _ids(env: Environment) -> list[str]:
    def read(raw: str) -> list[str]:
        found = [word.strip() for word in raw.split(",") if word.strip()]
        if bad := [word for word in found if not _ID.fullmatch(word)]:
            raise ValueError(f"{bad[0]!r} is no id of a provider; use small letters, digits and _, such as corp.")
        if len(set(found)) < len(found):
            raise ValueError("names a provider twice.")
        return found

    return env.parsed(LIST, read, [])


def _provider(env: Environment, provider_id: str, prefix: str, *, is_needed: bool) -> dict[str, Any]:
    """What allauth calls an app; what is ours lies in its settings. Empty without an issuer."""
    issuer = _issuer(env, prefix)
    client_id = env.text(f"{prefix}_CLIENT_ID")
    secret = env.text(f"{prefix}_CLIENT_SECRET")
    label = env.text(f"{prefix}_NAME", default="Single sign-on" if provider_id == ONE else provider_id.capitalize())
    scope = env.text(f"{prefix}_SCOPE", default="openid email profile").split()
    claim = env.text(f"{prefix}_ROLES_CLAIM")
    mapping: list[tuple[str, str]] = env.parsed(f"{prefix}_ROLES", role_mapping, [])
    domains = [each.lower().lstrip("@") for each in env.words(f"{prefix}_EMAIL_DOMAINS")]
    if "openid" not in scope:
        env.problems.append(f"{prefix}_SCOPE: must contain openid.")
    if bool(claim) != bool(mapping) and not env.is_bad(f"{prefix}_ROLES"):
        env.problems.append(f"{prefix}_ROLES: and {prefix}_ROLES_CLAIM go together; one is not set.")
    is_named = bool(issuer) or env.is_bad(f"{prefix}_ISSUER")
    if is_named != bool(client_id) or (is_needed and not is_named):
        env.problems.append(f"{prefix}_ISSUER: and {prefix}_CLIENT_ID go together; one is not set.")
    if secret and not (is_named or client_id):
        env.problems.append(f"{prefix}_CLIENT_SECRET: is set, but {prefix}_ISSUER is not.")
    if not issuer:
        return {}
    return {
        "provider_id": provider_id,
        "name": label,
        "client_id": client_id,
        "secret": secret,
        "settings": {
            "server_url": issuer,
            "oauth_pkce_enabled": True,
            "scope": scope,
            "roles_claim": claim,
            "roles": mapping,
            "email_domains": domains,
        },
    }


def _issuer(env: Environment, prefix: str) -> str:
    """HTTPS, because the token endpoint's answer is believed for the sake of TLS; HTTP on this machine alone."""

    def read(raw: str) -> str:
        refuse_bad_address(raw, ("https", "http"))
        refuse_credentials(raw, f"Use {prefix}_CLIENT_ID and {prefix}_CLIENT_SECRET.")
        if urlsplit(raw).scheme == "http" and urlsplit(raw).hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("must be https; otherwise anyone in between could sign in as any person.")
        return raw.rstrip("/")

    return env.parsed(f"{prefix}_ISSUER", read, "")
