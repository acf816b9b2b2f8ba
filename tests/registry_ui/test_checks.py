"""`manage.py check`: what keys and targets make together."""

import pytest
from pytest_django import Settings

from approvals.models import Enforcement, PolicyFeed, Target
from registry_ui import checks


def told(*databases: str) -> list[str]:
    return [str(each.id) for each in checks.enforced_with_what_it_takes(None, databases=databases or ("default",))]


@pytest.mark.django_db
def test_a_target_that_is_enforced_needs_a_policy_that_mlflow_can_fetch(settings: Settings, production: Target) -> None:
    settings.GATE_KEY, settings.GATE_TOKEN = b"", ""
    assert told() == []
    Target.objects.filter(pk=production.pk).update(enforcement=Enforcement.OBSERVE)
    assert told() == ["countersign.W006"]
    assert told("other") == []
    settings.GATE_TOKEN = "a-token-of-the-gate"  # web, while no worker has signed
    assert told() == ["countersign.W006"]
    PolicyFeed.objects.create(pk=1, text="{}")
    assert told() == []
    PolicyFeed.objects.update(problem="There is no key.")
    assert told() == ["countersign.W006"]
    settings.GATE_TOKEN, settings.GATE_KEY = "", b"k" * 32  # the worker
    assert told() == []


def test_the_private_key_does_not_belong_to_the_token(settings: Settings) -> None:
    def ids() -> list[str]:
        return [str(each.id) for each in checks.deployment(None)]

    settings.GATE_KEY, settings.GATE_TOKEN = b"k" * 32, ""
    assert "countersign.W005" not in ids()
    settings.GATE_TOKEN = "a-token-of-the-gate"
    assert "countersign.W005" in ids()
