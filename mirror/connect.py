"""How a worker gets the real registry: the only way to the adapter."""

from mirror import calls
from mirror.port import Registry


def connect() -> Registry:
    """The real registry, as configured. Imports MLflow (about 2 s), so only worker code and commands may call it."""
    from mirror.mlflow.client import MlflowRegistry  # noqa: PLC0415 -- so that the web process never does

    return calls.told(MlflowRegistry.from_settings())
