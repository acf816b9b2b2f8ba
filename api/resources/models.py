"""Models and their versions, as the mirror has them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import HttpResponse
from ninja import Query, Router

from api import cursors
from api.auth import ApiRequest, Token
from api.problems import NotFound
from api.schemas import Place, RequestLink, Shape, Subject, request_link, url
from approvals.evidence import approval_note
from approvals.models import PromotionRequest, Target
from approvals.selectors import catalogue
from mirror import composed
from mirror.models import MirrorState, ModelVersion, RegisteredModel

router = Router(tags=["Models"], auth=Token("read"))


class Held(Shape):
    target: str
    version: str


class Model(Subject):
    """One registered model."""

    description: str
    tags: dict[str, Any]
    newest_version: str | None
    holders: list[Held]
    open_requests: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    url: str


class OneModel(Model):
    mirrored_at: datetime | None


class Models(Shape):
    items: list[Model]
    next: str | None
    mirrored_at: datetime | None


class Version(Subject):
    """One version, without what only its own address tells."""

    version: str
    status: str
    places: list[Place]
    run_id: str
    metrics: dict[str, Any]
    open_requests: list[RequestLink]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None
    url: str


class OneVersion(Version):
    description: str
    source: str
    params: dict[str, Any]
    tags: dict[str, Any]
    mirrored_at: datetime | None


class Versions(Shape):
    items: list[Version]
    next: str | None
    mirrored_at: datetime | None


@router.get("/models/{model:model}/versions/{version}", response=OneVersion, summary="One version")
def get_version(request: ApiRequest, model: str, version: str) -> OneVersion:
    found = find_version(model, version)
    shown = _versions(found.model, [found])[0]
    return OneVersion(
        **shown.model_dump(),
        description=approval_note.without_notes(found.description),
        source=found.source,
        params=found.params,
        tags=found.tags,
        mirrored_at=mirrored_at(),
    )


@router.get("/models/{model:model}/versions", response=Versions, summary="Versions of a model, newest first")
def list_versions(
    request: ApiRequest,
    response: HttpResponse,
    model: str,
    limit: cursors.Limit = cursors.FIRST,
    cursor: cursors.Cursor = "",
) -> dict[str, Any]:
    found = find_model(model)
    page = cursors.page(catalogue.versions(found), "-number", limit=limit, cursor=cursor)
    return cursors.listed(request, response, page, _versions(found, page.items)) | {"mirrored_at": mirrored_at()}


@router.get("/models/{model:model}", response=OneModel, summary="One model")
def get_model(request: ApiRequest, model: str) -> OneModel:
    return OneModel(**_models([find_model(model)])[0].model_dump(), mirrored_at=mirrored_at())


@router.get("/models", response=Models, summary="Models by name")
def list_models(
    request: ApiRequest,
    response: HttpResponse,
    q: Annotated[str, Query("", max_length=256, description="A part of the name.")] = "",
    limit: cursors.Limit = cursors.FIRST,
    cursor: cursors.Cursor = "",
) -> dict[str, Any]:
    """Without those that were deleted in MLflow."""
    found = catalogue.models(q=q, show="", sort="name", targets=())
    page = cursors.page(found, "name", limit=limit, cursor=cursor)
    return cursors.listed(request, response, page, _models(page.items)) | {"mirrored_at": mirrored_at()}


def find_model(name: str) -> RegisteredModel:
    """Raises NotFound."""
    found: RegisteredModel | None = next(iter(composed.objects(_models_of_name, name)), None)
    if found is None:
        raise NotFound("no_such_model", f"Countersign has seen no model {name} in MLflow.")
    return found


def _models_of_name(name: str) -> QuerySet[RegisteredModel]:
    return RegisteredModel.objects.filter(name=name)


def find_version(model: str, version: str) -> ModelVersion:
    """With its model. Raises NotFound."""
    is_number = version.isascii() and version.isdecimal() and str(int(version[:12])) == version
    found = (
        ModelVersion.objects.filter(model__name=model, number=int(version)).select_related("model").first()
        if is_number
        else None
    )
    if found is None:
        find_model(model)
        raise NotFound("no_such_version", f"Countersign has seen no version {version} of {model} in MLflow.")
    return found


def mirrored_at() -> datetime | None:
    """When MLflow last answered."""
    known = next(iter(composed.objects(_mirrored)), ())
    return max((each for each in known if each), default=None)


def _mirrored() -> QuerySet[Any, Any]:
    found: QuerySet[Any, Any] = MirrorState.objects.filter(pk=1).values_list("pulled_at", "swept_at")
    return found


def _models(page: Sequence[RegisteredModel]) -> list[Model]:
    targets = list(Target.objects.current())
    return [
        Model(
            model=row.model.name,
            description=row.model.description,
            tags=row.model.tags,
            newest_version=None if row.newest is None else str(row.newest),
            holders=[
                Held(target=cell.target.name, version=str(cell.version.number))
                for cell in row.cells
                if cell.version is not None
            ],
            open_requests=row.open_requests,
            created_at=row.model.created_at,
            updated_at=row.model.last_updated_at,
            deleted_at=row.model.deleted_at,
            url=url("model", row.model.name),
        )
        for row in catalogue.model_rows(page, targets)
    ]


def _versions(model: RegisteredModel, page: Sequence[ModelVersion]) -> list[Version]:
    return [_version(model, row.version, row.aliases, row.open_requests) for row in catalogue.version_rows(page, ())]


def _version(
    model: RegisteredModel, version: ModelVersion, aliases: Sequence[str], asked: Sequence[PromotionRequest]
) -> Version:
    stage = [Place(type="stage", name=version.stage)] if version.stage != "None" else []
    return Version(
        model=model.name,
        version=str(version.number),
        status=version.status,
        places=[*stage, *(Place(type="alias", name=name) for name in aliases)],
        run_id=version.run_id,
        metrics=version.metrics,
        open_requests=[request_link(each) for each in asked],
        created_at=version.created_at,
        updated_at=version.last_updated_at,
        deleted_at=version.deleted_at,
        url=url("version", model.name, version.number),
    )
