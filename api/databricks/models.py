"""What Databricks adds to reading a model. The plain calls of the registry are MLflow's own, and it answers them."""

from typing import Any

from ninja import Router

from api.auth import ApiRequest, Token
from api.databricks import shapes
from api.databricks.reading import Name, Said, said
from api.problems import NotFound
from api.resources.models import find_model
from mirror.models import ModelVersion, RegisteredModel, Stage

router = Router()


class OfModel(Said):
    name: Name


@router.get("/databricks/registered-models/get", auth=Token("read"))
def get_registered_model(request: ApiRequest) -> dict[str, Any]:
    """As the mirror has it. Raises NotFound."""
    name = said(request, OfModel).name
    found = find_model(name)
    if found.deleted_at:
        raise NotFound("no_such_model", f"The model {name} was deleted in MLflow.")
    return {"registered_model_databricks": shapes.model(found, _latest(found), request.auth.user)}


def _latest(model: RegisteredModel) -> list[ModelVersion]:
    """The newest version in each stage."""
    known = ModelVersion.objects.filter(model=model, deleted_at=None).order_by("-number")
    newest = (known.filter(stage=stage).first() for stage in Stage.values)
    return [each for each in newest if each is not None]
