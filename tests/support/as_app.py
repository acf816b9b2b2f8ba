"""What an installation does, in a process of its own that signs in to the database of DATABASE_URL as a role which owns
nothing there; prints what came of it as JSON. MLflow is the fake one.

python -m tests.support.as_app first      fills an empty installation, and goes all the way
python -m tests.support.as_app further    goes on with one that has rows
"""

import io
import json
import sys
from typing import Any
from unittest import mock

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import Group  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import get_resolver, reverse  # noqa: E402

from accounts.models import User  # noqa: E402
from approvals import administration, workflow  # noqa: E402
from approvals.ledger import cut  # noqa: E402
from approvals.models import Incident, PromotionRequest, Target  # noqa: E402
from mirror.rows import PER_STATEMENT  # noqa: E402
from registry_ui import database_roles  # noqa: E402
from registry_ui.celery import app as celery  # noqa: E402
from tests.support.factories import PASSWORD, make_token  # noqa: E402
from tests.support.fakes import FakeRegistry  # noqa: E402
from tests.support.world import World, deliver  # noqa: E402

settings.ALLOWED_HOSTS = ["testserver"]


def first() -> dict[str, Any]:
    with mock.patch("sys.stdin", io.StringIO(f"{PASSWORD}\n")):
        call_command(
            "create_admin", email="ada@example.com", name="Ada Brandt", password_stdin=True, stdout=io.StringIO()
        )
    ada, production = User.objects.get(email="ada@example.com"), Target.objects.get(name="Production")
    with mock.patch("tests.support.world.make_person", person):
        world = World("churn_predictor")
    world.observe()
    promoted = [world.promote("churn_predictor", number, production).status for number in (1, 2)]
    back = world.roll_back("churn_predictor", production)
    promoted.append(deliver(back, world.registry))
    urgent = world.break_glass("churn_predictor", 3, production)
    promoted.append(deliver(urgent, world.registry))
    world.registry.set_stage("churn_predictor", 4, "Production", archive_existing=True)
    world.observe()
    for number in range(PER_STATEMENT + 10):  # more than one statement takes: by way of a temporary table
        world.registry.create_version("large", description=str(number))
    world.observe()
    groups = [*world.rita.groups.all(), administration.add_group("fraud", by=ada)]
    administration.set_groups(world.rita, groups=groups, by=ada)
    gone = person("Gus Voss", "requester")
    administration.pseudonymise(gone, reason="Asked for it.", by=ada)
    cut._go_on_from(PromotionRequest.objects.latest("pk").pk + 2_000_000)
    later = world.ask("churn_predictor", 1, production)
    return {
        "promoted": promoted,
        "incidents": Incident.objects.count(),
        "number": later.pk > 2_000_000,
        "pages": pages(),
        "api": api(ada),
        "tasks": tasks(world.registry),
        "ledger": ledger(),
        "role": role(),
    }


def person(name: str, *groups: str) -> User:
    """As the product makes them, with the event that verification asks for."""
    given = Group.objects.filter(name__in=groups)
    email = f"{name.partition(' ')[0].lower()}@example.com"
    return administration.create_person(email=email, name=name, password=PASSWORD, groups=given)


def further() -> dict[str, Any]:
    ada, rita = (User.objects.get(email=f"{name}@example.com") for name in ("ada", "rita"))
    workflow.comment(PromotionRequest.objects.latest("pk"), by=rita, body="Still here.")
    administration.add_group("pricing", by=ada)
    return {"pages": pages(), "ledger": ledger(), "role": role()}


def role() -> str:
    """What the check says of the role that runs this."""
    found = database_roles.running_role()
    return found.problem if found else "no role"


def pages() -> dict[str, int]:
    """Signs in with the password; every page of ours that needs no argument, by its status."""
    client = Client()
    answer = client.post("/accounts/login/", {"login": "ada@example.com", "password": PASSWORD})
    found = {"sign in": answer.status_code}
    for prefix, resolver in (("", get_resolver()), ("approvals:", get_resolver("approvals.urls"))):
        for name in filter(lambda name: isinstance(name, str), resolver.reverse_dict):
            if resolver.reverse_dict.getlist(name)[0][0][0][1]:  # it takes arguments
                continue
            found[f"{prefix}{name}"] = client.get(reverse(f"{prefix}{name}")).status_code
    return found


def api(person: User) -> int:
    authorization = {"Authorization": f"Bearer {make_token(person)}"}
    return Client().get("/api/v1/models", headers=authorization).status_code


def tasks(registry: FakeRegistry) -> dict[str, str]:
    """Every periodic task, by what went wrong."""
    found = {}
    celery.loader.import_default_modules()
    with (
        mock.patch("mirror.tasks._registry", return_value=registry),
        mock.patch("mirror.tasks.connect", return_value=registry),
        mock.patch("approvals.tasks._registry", return_value=registry),
    ):
        for name in settings.CELERY_BEAT_SCHEDULE:
            result = celery.tasks[name].apply()
            found[name] = "" if result.successful() else repr(result.result)
    return found


def ledger() -> str:
    out = io.StringIO()
    call_command("verify_ledger", stdout=out)
    return out.getvalue()


if __name__ == "__main__":
    print(json.dumps({"first": first, "further": further}[sys.argv[1]]()))
