"""With the verb that it has called: groups of the provider decide who has which role here, told by people who join,
move and leave."""

from typing import Any

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group
from django.test import Client

from accounts import identity_providers
from accounts.models import User
from accounts.security_log import Event
from approvals import administration, workflow
from approvals.ledger import verify
from approvals.models import Action, AuditEvent, Review, Target
from registry_ui import system
from tests.accounts.conftest import Configure, Lines
from tests.accounts.provider import CLIENT_ID, CLIENT_SECRET, Provider
from tests.accounts.test_openid_connect import dance, signed_in
from tests.support.factories import make_person, make_request, make_version

pytestmark = pytest.mark.django_db

ROLES = "ml-engineers=requester, ml-leads=reviewer, model-risk=reviewer, model-risk=risk, ml-admins=administrator"


@pytest.fixture
def corp(provider: Provider, configure: Configure, settings: Any) -> Provider:
    """It decides about four names here, and who is in no group of those gets no account."""
    configure(ROLES_CLAIM="groups", ROLES=ROLES)
    settings.OIDC_SIGNUP_OPEN = None
    Group.objects.create(name="risk")
    return provider


def come(client: Client, corp: Provider, *groups: str, **claims: Any) -> Any:
    client.logout()
    corp.person = {"sub": "1", "email": "nina@example.com", "email_verified": True, "name": "Nina New", **claims}
    corp.person |= {} if "groups" in claims else {"groups": list(groups)}
    return dance(client)


def held(email: str = "nina@example.com") -> set[str]:
    return set(User.objects.get(email=email).groups.values_list("name", flat=True))


def changes() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=Action.PERSON_CHANGED).order_by("sequence"))


def test_a_joiner_has_their_roles_before_the_session_begins(client: Client, corp: Provider, ada: User) -> None:
    answer = come(client, corp, "model-risk", "cafeteria")
    assert answer["Location"] == "/welcome/"
    assert client.get("/welcome/")["Location"] == "/home/"
    assert held() == {"reviewer", "risk"}
    (event,) = changes()
    assert (event.actor, str(event.actor_label)) == (None, "identity provider Example ID")
    assert (event.data["before"], event.data["after"]) == ([], ["reviewer", "risk"])
    assert event.data["claims"] == ["model-risk"]
    assert "cafeteria" not in str(SocialAccount.objects.get().extra_data)
    assert verify().is_intact


def test_nothing_is_recorded_where_nothing_changes(client: Client, corp: Provider, ada: User) -> None:
    come(client, corp, "model-risk")
    come(client, corp, "model-risk")
    assert len(changes()) == 1


def test_a_mover_has_exactly_what_the_claim_says_and_keeps_what_was_given_by_hand(
    client: Client, corp: Provider, ada: User
) -> None:
    come(client, corp, "ml-engineers")
    nina = User.objects.get(email="nina@example.com")
    nina.groups.add(Group.objects.get(name="auditor"))
    come(client, corp, "ml-leads")
    assert held() == {"reviewer", "auditor"}
    assert changes()[-1].data["before"] == ["auditor", "requester"]


def test_an_approval_of_a_mover_no_longer_counts(client: Client, corp: Provider, ada: User, rita: User) -> None:
    come(client, corp, "ml-leads")
    nina = User.objects.get(email="nina@example.com")
    asked = make_request(make_version(), Target.objects.get(name="Production"), by=rita)
    workflow.review(asked, by=nina, verdict="approve")
    come(client, corp, "ml-engineers")
    asked.refresh_from_db()
    assert (asked.status, Review.objects.get().reviewer) == ("pending", nina)
    assert held() == {"requester"}


@pytest.mark.parametrize("claim", [[], ""])
def test_a_leaver_loses_all_that_is_mapped_and_reads_the_welcome(
    client: Client, corp: Provider, ada: User, claim: Any
) -> None:
    come(client, corp, "model-risk")
    answer = come(client, corp, groups=claim)
    assert (answer["Location"], held()) == ("/welcome/", set())
    assert client.get("/models/").status_code == 403


OVERAGE = {"groups": None, "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}}


@pytest.mark.parametrize("claims", [{"groups": None}, OVERAGE])
def test_without_the_claim_all_stays_as_it_was_and_system_says_so(
    client: Client, corp: Provider, ada: User, claims: dict[str, Any], lines: Lines
) -> None:
    come(client, corp, "model-risk")
    come(client, corp, **claims)
    assert signed_in(client).email == "nina@example.com"
    assert (held(), len(changes())) == ({"reviewer", "risk"}, 1)
    (line,) = lines(Event.IDENTITY_CLAIM_MISSING)
    assert (line["person"], line["provider"]) == (User.objects.get(email="nina@example.com").pk, "Example ID")
    (part,) = parts()
    assert (part.state, part.word, "The claim groups was missing" in part.detail) == (system.SLOW, "Not sent", True)
    come(client, corp, "model-risk")
    assert [part.state for part in parts()] == [system.GOOD]


def parts() -> list[system.Part]:
    return [part for part in system.parts() if part.name.startswith("Roles from ")]


def test_the_last_administrator_stays_one_and_system_says_so(
    client: Client, corp: Provider, lines: Lines, django_capture_on_commit_callbacks: Any
) -> None:
    come(client, corp, "ml-admins", "ml-leads")
    come(client, corp, "ml-leads")
    assert held() == {"administrator", "reviewer"}
    with django_capture_on_commit_callbacks(execute=True):
        come(client, corp)
    assert held() == {"administrator"}
    assert [line["provider"] for line in lines(Event.IDENTITY_ADMINISTRATOR_KEPT)] == ["Example ID"]
    (line,) = lines(Event.IDENTITY_CLAIMS_APPLIED)
    assert (line["before"], line["after"]) == (["administrator", "reviewer"], ["administrator"])
    assert [(part.state, part.word) for part in parts()] == [(system.BAD, "Administrator kept")]
    make_person("Ada Brandt", "administrator")
    assert [part.state for part in parts()] == [system.GOOD]
    come(client, corp)
    assert held() == set()


def test_a_group_that_there_is_not_stops_nothing_and_is_red_on_system(
    client: Client, corp: Provider, ada: User
) -> None:
    Group.objects.get(name="risk").delete()
    come(client, corp, "model-risk")
    assert held() == {"reviewer"}
    assert [(part.state, part.detail) for part in parts()] == [
        (system.BAD, "Groups of Example ID are mapped to risk: no such role or group here.")
    ]


def test_system_has_no_line_where_no_provider_decides(provider: Provider) -> None:
    assert parts() == []


@pytest.mark.parametrize("groups", [{"a": 1}, [1], 5, [["ml-leads"]]])
def test_a_claim_of_another_shape_ends_the_sign_in(client: Client, corp: Provider, groups: Any, ada: User) -> None:
    come(client, corp, "ml-leads")
    answer = come(client, corp, groups=groups)
    assert "sent a claim that is no list of texts: groups." in answer.content.decode()
    assert not signed_in(client).is_authenticated


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["ml-leads"]}}),
        ("https://example.com/roles", {"https://example.com/roles": ["ml-leads"]}),
        ("role", {"role": "ml-leads"}),
    ],
)
def test_the_claim_is_found_by_its_path_and_by_a_name_with_dots(
    client: Client, corp: Provider, configure: Configure, ada: User, path: str, claims: dict[str, Any]
) -> None:
    configure(ROLES_CLAIM=path)
    come(client, corp, **claims)
    assert held() == {"reviewer"}


def test_the_id_token_comes_before_user_info(client: Client, corp: Provider, ada: User) -> None:
    corp.userinfo = {"groups": ["ml-admins"]}
    come(client, corp, "ml-leads")
    assert held() == {"reviewer"}
    corp.claims = {"groups": None}
    come(client, corp, "ml-leads")
    assert held() == {"administrator"}


@pytest.mark.parametrize(
    ("setting", "groups", "comes"),
    [
        (None, ["ml-leads"], True),
        (None, ["cafeteria"], False),
        (None, [], False),
        (True, [], True),
        (False, ["ml-leads"], False),
    ],
)
def test_by_default_an_account_is_made_for_who_is_in_a_group_that_means_a_role(
    client: Client, corp: Provider, settings: Any, setting: bool | None, groups: list[str], comes: bool
) -> None:
    settings.OIDC_SIGNUP_OPEN = setting
    answer = come(client, corp, *groups)
    assert User.objects.filter(email="nina@example.com").exists() is comes
    assert comes or "Ask an administrator to invite you." in answer.content.decode()


def test_by_default_a_provider_that_decides_about_nothing_makes_no_accounts(
    client: Client, provider: Provider, settings: Any
) -> None:
    settings.OIDC_SIGNUP_OPEN = None
    dance(client)
    assert not User.objects.exists()


def test_a_deactivated_person_gets_no_roles(client: Client, corp: Provider, ada: User) -> None:
    come(client, corp, "ml-leads")
    nina = User.objects.get(email="nina@example.com")
    administration.set_active(nina, is_active=False, by=ada)
    come(client, corp, "ml-admins")
    assert held() == {"reviewer"}


# --- Who else may change them


def test_what_the_provider_decides_is_locked_on_the_page_and_in_the_verb(
    client: Client, corp: Provider, ada: User
) -> None:
    come(client, corp, "ml-leads")
    nina = User.objects.get(email="nina@example.com")
    client.force_login(ada)
    address = f"/people/{nina.pk}/"
    page = client.get(address).content.decode()
    assert page.count("From Example ID.") == 4
    assert page.count(" disabled") == 4
    auditor = Group.objects.get(name="auditor")
    # Browsers leave locked boxes out; who sends them all the same changes nothing.
    client.post(address, {"roles": [auditor.pk, Group.objects.get(name="requester").pk]})
    assert held() == {"reviewer", "auditor"}
    with pytest.raises(workflow.Invalid, match=r"Example ID decides whether Nina New has reviewer; change it there\."):
        administration.set_groups(nina, groups=[auditor], by=ada)


def test_who_has_no_account_there_is_changed_by_hand(client: Client, corp: Provider, ada: User, rita: User) -> None:
    client.force_login(ada)
    assert " disabled" not in client.get(f"/people/{rita.pk}/").content.decode()
    administration.set_groups(rita, groups=Group.objects.filter(name="reviewer"), by=ada)
    assert held("rita@example.com") == {"reviewer"}
    assert identity_providers.decided_for(rita) == {}


# --- Several providers


@pytest.fixture
def two(corp: Provider, configure: Configure, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Any:
    """`corp` may vouch for example.com, and `partner`, who is somebody else, for example.org."""
    with Provider() as partner:
        for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "ROLES", "ROLES_CLAIM"):
            monkeypatch.delenv(f"COUNTERSIGN_OIDC_{name}")
        values = {"PROVIDERS": "oidc, partner"}
        for each, domain, running in (("OIDC", "example.com", corp), ("PARTNER", "example.org", partner)):
            values |= {f"{each}_ISSUER": running.issuer, f"{each}_CLIENT_ID": CLIENT_ID}
            values |= {f"{each}_CLIENT_SECRET": CLIENT_SECRET, f"{each}_EMAIL_DOMAINS": domain}
        values |= {"OIDC_NAME": "Example ID", "PARTNER_ROLES_CLAIM": "teams", "PARTNER_ROLES": "x=auditor"}
        configure(**values)
        settings.OIDC_SIGNUP_OPEN = True
        yield partner


THERE = "/accounts/oidc/partner/login/?process=login"


def test_a_provider_vouches_for_addresses_of_its_own_domains_alone(client: Client, two: Provider, remy: User) -> None:
    two.person |= {"email": remy.email}
    answer = dance(client, THERE)
    assert "sent an address of a domain that it may not vouch for." in answer.content.decode()
    assert not signed_in(client).is_authenticated
    assert not SocialAccount.objects.exists()


def test_the_same_subject_at_two_providers_is_two_people(client: Client, corp: Provider, two: Provider) -> None:
    dance(client)
    client.logout()
    two.person |= {"email": "nina@example.org", "teams": ["x"]}
    dance(client, THERE)
    assert signed_in(client).email == "nina@example.org"
    assert held("nina@example.org") == {"auditor"}
    assert held("nina@example.com") == set()
    client.post("/accounts/logout/")
    page = client.get("/accounts/login/").content.decode()
    assert "Continue with Example ID" in page
    assert "Continue with Partner" in page


def test_each_proves_who_they_are_where_they_have_an_account(client: Client, two: Provider) -> None:
    two.person |= {"email": "nina@example.org", "teams": ["x"]}
    dance(client, THERE)
    assert "Partner" in client.get("/accounts/reauthenticate/provider/").content.decode()
    there = client.post("/accounts/reauthenticate/provider/")
    assert there["Location"].startswith(f"{two.issuer}/authorize")
