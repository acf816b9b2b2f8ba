"""`manage.py gate`: the pair that it makes fits, and only the worker can print its public half."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from mlflow_gate import grants
from pytest_django import Settings

from registry_ui.environment import Environment


def printed(*options: str) -> str:
    out = StringIO()
    call_command("gate", *options, stdout=out)
    return out.getvalue()


def test_a_new_pair_fits(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = (line.partition("=")[2] for line in printed("--new-key").splitlines())
    signature = grants.sign_text(grants.private_key(private), "policy", b"text")
    grants.check_text([grants.public_key(public)], "policy", b"text", signature)
    monkeypatch.setenv("COUNTERSIGN_GATE_KEY", private)
    settings.GATE_KEY = Environment().signing_key("COUNTERSIGN_GATE_KEY")
    assert printed() == f"{public}\n"


def test_without_the_key_there_is_nothing_to_print(settings: Settings) -> None:
    settings.GATE_KEY = b""
    with pytest.raises(CommandError, match="only the worker"):
        printed()
