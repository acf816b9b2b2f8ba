"""Earlier history from a CSV file: choose it, look at what would become of each row, confirm."""

import zlib

from django.contrib import messages
from django.core.cache import cache
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import User
from approvals import administration
from approvals.forms.history import ImportForm
from approvals.models import Action
from approvals.tenures import importing as earlier_history
from approvals.views.guard import needs
from approvals.views.shared import SignedInRequest, tell
from approvals.workflow import WorkflowError

ROWS_PER_PAGE = 50
KEPT_SECONDS = 3600
"""So long a file waits for its confirmation, in the cache; it is no part of any record until then."""

SHOWN = {"": "All", "accepted": "Accepted", "refused": "Refused", "odd": "With warnings"}


@require_http_methods(["GET", "HEAD", "POST"])
@needs(administration.IMPORT)
def earlier(request: SignedInRequest) -> HttpResponse:
    form = ImportForm(request.POST or None, request.FILES or None) if request.method == "POST" else ImportForm()
    if request.method == "POST" and form.is_valid():
        name, content, checked = form.cleaned_data["file"]
        cache.set(_key(request.user), (checked.sha256, name, zlib.compress(content)), KEPT_SECONDS)
        return redirect(f"{reverse('approvals:history_import')}?file={checked.sha256}")
    wanted = request.GET.get("file", "") if request.method != "POST" else ""
    kept = _kept(request.user, wanted) if wanted else None
    is_gone = bool(wanted) and kept is None
    return _page(request, form, kept, is_gone=is_gone, status=422 if form.errors else 200)


def _page(
    request: SignedInRequest,
    form: ImportForm,
    kept: tuple[str, bytes] | None,
    *,
    is_gone: bool = False,
    status: int = 200,
) -> HttpResponse:
    context = {"form": form, "columns": earlier_history.COLUMNS, "required": earlier_history.REQUIRED}
    context |= {"is_gone": is_gone} | (_dry_run(request, *kept) if kept else {})
    return render(request, "approvals/history/import.html", context, status=status)


@require_POST
@needs(administration.IMPORT)
def confirm(request: SignedInRequest) -> HttpResponse:
    confirmed = request.POST.get("confirmed", "")
    kept = _kept(request.user, confirmed)
    if kept is None:
        return redirect(f"{reverse('approvals:history_import')}?file={confirmed[:64]}")
    name, content = kept
    try:
        done = administration.import_history(content, file=name, confirmed=confirmed, by=request.user)
    except WorkflowError as error:
        return _page(request, ImportForm(), kept, status=tell(request, error))
    cache.delete(_key(request.user))
    rest = f" {done.refused:,} {'was' if done.refused == 1 else 'were'} refused." if done.refused else ""
    messages.success(request, f"{done.accepted:,} row{'' if done.accepted == 1 else 's'} imported.{rest}")
    return redirect(f"{reverse('approvals:history')}?action={Action.HISTORY_IMPORTED}")


def _dry_run(request: SignedInRequest, name: str, content: bytes) -> dict[str, object]:
    """Looked at anew each time, so that it says what would happen now."""
    checked = earlier_history.check(content)
    show = request.GET.get("show", "")
    rows = {"accepted": checked.accepted, "refused": checked.refused, "odd": checked.odd}.get(show, checked.rows)
    return {
        "file": name,
        "checked": checked,
        "show": show if show in SHOWN else "",
        "counts": [
            (key, words, len(found))
            for (key, words), found in zip(
                SHOWN.items(), (checked.rows, checked.accepted, checked.refused, checked.odd), strict=True
            )
        ],
        "page": Paginator(rows, ROWS_PER_PAGE).get_page(request.GET.get("page")),
    }


def _key(person: User) -> str:
    return f"history-import:{person.pk}"


def _kept(person: User, sha256: str) -> tuple[str, bytes] | None:
    """Name and content of the file that this person sent last, if it is the one with this digest."""
    kept = cache.get(_key(person))
    if kept is None or kept[0] != sha256:
        return None
    return kept[1], zlib.decompress(kept[2])
