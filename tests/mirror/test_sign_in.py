"""What the worker signs in to MLflow with is asked for before each call."""

import pytest

from mirror.sign_in import SignIn


def test_all_three_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for word in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{word}", word.lower())
    assert SignIn.now() == SignIn("username", "password", "token")
