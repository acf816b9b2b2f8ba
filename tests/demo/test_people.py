import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.management import CommandError, call_command
from pytest_django import Settings

from accounts.models import User
from approvals.models import AuditEvent
from registry_ui.demo import people
from registry_ui.demo.__main__ import PASSWORD


@pytest.mark.django_db
def test_everybody_is_made_once_with_their_roles() -> None:
    people.assemble(PASSWORD)
    events = AuditEvent.objects.count()
    cast = people.assemble("another-password")
    assert AuditEvent.objects.count() == events
    assert {user.email: sorted(group.name for group in user.groups.all()) for user in User.objects.all()} == {
        "ada@example.com": ["administrator"],
        "otto@example.com": ["responder"],
        "remy@example.com": ["reviewer"],
        "rita@example.com": ["requester"],
        "rosa@example.com": ["reviewer", "risk"],
        "vera@example.com": ["auditor"],
    }
    assert cast.rita.check_password(PASSWORD)


@pytest.mark.django_db
def test_the_password_is_one_that_the_site_would_take() -> None:
    cast = people.assemble(PASSWORD)
    for person in (cast.rita, cast.remy, cast.rosa, cast.otto, cast.vera, cast.ada):
        assert validate_password(PASSWORD, person) is None


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["SITE_URL", "MLFLOW_TRACKING_URI"])
def test_an_installation_that_others_can_reach_gets_no_people_with_a_known_password(
    name: str, settings: Settings
) -> None:
    setattr(settings, name, "https://registry.example.com")
    with pytest.raises(CommandError, match=r"registry\.example\.com is not on this machine"):
        call_command("demo", password=PASSWORD)
    assert not User.objects.exists()
