"""The whole room."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from registry_ui import sign_in
from registry_ui.environment import Environment

ONE = {"ISSUER": "https://id.example.com", "CLIENT_ID": "c"}


def read(monkeypatch: pytest.MonkeyPatch, **values: str) -> tuple[dict[str, Any], list[str]]:
    for name, value in values.items():
        monkeypatch.setenv(f"COUNTERSIGN_OIDC_{name}", value)
    env = Environment()
    providers = sign_in.openid_connect(env)
    found = providers, sign_in.origins(env, providers)
    env.refuse_nonsense()
    return found


def apps(monkeypatch: pytest.MonkeyPatch, **values: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read(monkeypatch, **values)[0]["openid_connect"]["APPS"]
    return found


HALF = "COUNTERSIGN_OIDC_ISSUER: and COUNTERSIGN_OIDC_CLIENT_ID go together; one is not set."
ROLES_HALF = "COUNTERSIGN_OIDC_ROLES: and COUNTERSIGN_OIDC_ROLES_CLAIM go together; one is not set."
CORP = {"CORP_ISSUER": "https://id.example.com", "CORP_CLIENT_ID": "c"}
PARTNER = {"PARTNER_ISSUER": "https://login.example.org", "PARTNER_CLIENT_ID": "p"}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"ISSUER": "https://id.example.com"}, HALF),
        ({"CLIENT_ID": "countersign"}, HALF),
        ({"CLIENT_SECRET": "s"}, "COUNTERSIGN_OIDC_CLIENT_SECRET: is set, but COUNTERSIGN_OIDC_ISSUER is not."),
        (
            {"ISSUER": "http://id.example.com", "CLIENT_ID": "c"},
            "COUNTERSIGN_OIDC_ISSUER: must be https; otherwise anyone in between could sign in as any person.",
        ),
        (ONE | {"SCOPE": "email profile"}, "COUNTERSIGN_OIDC_SCOPE: must contain openid."),
        (ONE | {"ROLES": "a=reviewer"}, ROLES_HALF),
        (ONE | {"ROLES_CLAIM": "groups"}, ROLES_HALF),
        (
            ONE | {"ROLES_CLAIM": "groups", "ROLES": "a=reviewer, b"},
            "COUNTERSIGN_OIDC_ROLES: 'b' is not of the form group-at-the-provider=role.",
        ),
        (
            {"PROVIDERS": "corp"},
            "COUNTERSIGN_OIDC_CORP_ISSUER: and COUNTERSIGN_OIDC_CORP_CLIENT_ID go together; one is not set.",
        ),
        (
            {"PROVIDERS": "Corp"} | CORP,
            "COUNTERSIGN_OIDC_PROVIDERS: 'Corp' is no id of a provider; use small letters, digits and _, such as corp.",
        ),
        ({"PROVIDERS": "corp, corp"} | CORP, "COUNTERSIGN_OIDC_PROVIDERS: names a provider twice."),
        (
            ONE | {"PROVIDERS": "corp"} | CORP,
            "COUNTERSIGN_OIDC_ISSUER: is not read beside COUNTERSIGN_OIDC_PROVIDERS; each provider has its own.",
        ),
        (
            {"PROVIDERS": "corp,partner", "CORP_EMAIL_DOMAINS": "example.com"} | CORP | PARTNER,
            "COUNTERSIGN_OIDC_PARTNER_EMAIL_DOMAINS: is not set. With several providers each may vouch for addresses "
            "of its own domains alone.",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, values: dict[str, str], why: str) -> None:
    with pytest.raises(ImproperlyConfigured) as refused:
        read(monkeypatch, **values)
    assert str(refused.value) == f"Countersign cannot start:\n  {why}"


def test_one_provider_is_configured_by_issuer_and_client(monkeypatch: pytest.MonkeyPatch) -> None:
    providers, origins = read(monkeypatch, ISSUER="https://id.example.com/realms/ml/", CLIENT_ID="c")
    (app,) = providers["openid_connect"]["APPS"]
    assert (app["provider_id"], app["name"]) == ("oidc", "Single sign-on")
    assert app["settings"] == {
        "server_url": "https://id.example.com/realms/ml",
        "oauth_pkce_enabled": True,
        "scope": ["openid", "email", "profile"],
        "roles_claim": "",
        "roles": [],
        "email_domains": [],
    }
    assert origins == ["https://id.example.com"]


def test_without_a_provider_nothing_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch) == ({}, [])


def test_several_providers_have_each_their_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    domains = {"CORP_EMAIL_DOMAINS": "Example.com, @eu.example.com", "PARTNER_EMAIL_DOMAINS": "example.org"}
    values = {"PROVIDERS": "corp, partner", "CORP_NAME": "Example ID"} | CORP | PARTNER | domains
    providers, origins = read(monkeypatch, **values)
    corp, partner = providers["openid_connect"]["APPS"]
    assert (corp["provider_id"], corp["name"], corp["client_id"]) == ("corp", "Example ID", "c")
    assert (partner["provider_id"], partner["name"], partner["client_id"]) == ("partner", "Partner", "p")
    assert corp["settings"]["email_domains"] == ["example.com", "eu.example.com"]
    assert origins == ["https://id.example.com", "https://login.example.org"]


def test_one_provider_of_a_list_needs_no_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    (corp,) = apps(monkeypatch, PROVIDERS="corp", **CORP)
    assert corp["provider_id"] == "corp"


def test_groups_there_mean_roles_here(monkeypatch: pytest.MonkeyPatch) -> None:
    ldap = "cn%3Dleads%2Cou%3Dml=reviewer"
    roles = f"ml-engineers=requester, model-risk = reviewer,model-risk=risk, {ldap}"
    (app,) = apps(monkeypatch, ROLES_CLAIM="realm_access.roles", ROLES=roles, **ONE)
    assert app["settings"]["roles_claim"] == "realm_access.roles"
    assert app["settings"]["roles"] == [
        ("ml-engineers", "requester"),
        ("model-risk", "reviewer"),
        ("model-risk", "risk"),
        ("cn=leads,ou=ml", "reviewer"),
    ]
