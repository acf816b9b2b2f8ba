"""Names of models as people type them. In MLflow, a space may stand at either end of a name."""

from approvals.models import Tenure
from mirror.models import RegisteredModel

LONGEST = 256


def known(typed: str) -> str:
    """The name as it was typed, if there is or was such a model, or else without the spaces at its ends."""
    name = typed.strip()
    if name == typed or "\x00" in typed:
        return name
    return typed if is_known(typed) else name


def is_known(name: str) -> bool:
    """In the mirror, or in the record alone: a model may be gone, or never have been in this MLflow."""
    return RegisteredModel.objects.filter(name=name).exists() or Tenure.objects.filter(model_name=name).exists()
