"""People by role, the two targets, and databases for tests that need real commits."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from approvals import defaults, triggers
from approvals.models import Target
from registry_ui.accounts.models import User
from tests.factories import make_person


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: Any
) -> Iterator[None]:
    """As pytest-django's, but always: it makes the database for marked tests only, and those with `committed` have
    no mark."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases=["default"])  # type: ignore[arg-type]
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture
def rita(db: None) -> User:
    return make_person("Rita Sanz", "requester")


@pytest.fixture
def remy(db: None) -> User:
    return make_person("Remy Ortiz", "reviewer")


@pytest.fixture
def rosa(db: None) -> User:
    return make_person("Rosa Lind", "reviewer")


@pytest.fixture
def vera(db: None) -> User:
    return make_person("Vera Holm", "auditor")


@pytest.fixture
def ada(db: None) -> User:
    return make_person("Ada Brandt", "administrator")


@pytest.fixture
def staging(db: None) -> Target:
    return Target.objects.get(name="Staging")


@pytest.fixture
def production(db: None) -> Target:
    return Target.objects.get(name="Production")


@pytest.fixture
def committed(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database with real commits, for threads and processes; emptied afterwards in spite of the triggers."""
    with django_db_blocker.unblock():
        try:
            yield
        finally:
            connection.close()
            with connection.schema_editor() as editor:
                triggers.remove(editor)
            call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=False)
            with connection.schema_editor() as editor:
                defaults.create(apps, editor)
                triggers.install(editor)
            connection.close()
