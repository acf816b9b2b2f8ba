"""What the worker signs in to MLflow with: a user and password, or a token. Their files may be exchanged while it runs,
so they are asked for before each call."""

from dataclasses import dataclass
from typing import Self

from django.conf import settings


@dataclass(frozen=True, slots=True)
class SignIn:
    username: str
    password: str
    token: str

    @classmethod
    def now(cls, *, anew: bool = False) -> Self:
        return cls(
            settings.MLFLOW_TRACKING_USERNAME.read(anew=anew),
            settings.MLFLOW_TRACKING_PASSWORD.read(anew=anew),
            settings.MLFLOW_TRACKING_TOKEN.read(anew=anew),
        )
