"""A person's own notifications: what they were told, and how they want to be."""

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import notifications as rooms
from approvals.forms.notifications import NotificationForm
from approvals.notifications import mailing, preferences
from approvals.selectors import bell
from approvals.selectors.inbox import waiting_count
from approvals.views.lists import Nothing, Tab
from approvals.views.request_page import get_request
from approvals.views.shared import SignedInRequest
from components.pagination import page_of

PAGE_SIZE = 50


@require_safe
def notifications(request: SignedInRequest) -> HttpResponse:
    unread_only = request.GET.get("show") == "unread"
    page = page_of(bell.of(request.user, unread_only=unread_only), PAGE_SIZE, request.GET.get("page"))
    unread = bell.unread_count(request.user)
    context = {
        "unread_count": unread,  # for the top bar, which need not count again
        "tabs": [Tab("", "All", not unread_only), Tab("unread", "Unread", unread_only, unread, unread > 0)],
        "page": page,
        "newest": page[0].pk if page.object_list else 0,
        "nothing": None if page.object_list else _nothing(unread_only=unread_only),
    }
    return render(request, "approvals/notifications/notifications.html", context)


def _nothing(*, unread_only: bool) -> Nothing:
    if unread_only:
        return Nothing("bell", "Nothing is unread.", "New notifications appear here.", "Show all", "?")
    return Nothing("bell", "No notifications yet.", "What happens to requests that you take part in appears here.")


@require_safe
def counts(request: SignedInRequest) -> HttpResponse:
    """What the top bar counts, for a page that stands open; 204 while it is what the page shows (`seen`)."""
    now = {"inbox_count": waiting_count(request.user), "unread_count": bell.unread_count(request.user)}
    if request.GET.get("seen") == "{inbox_count}-{unread_count}".format(**now):
        return HttpResponse(status=204)
    return render(request, "components/_counts.html", now | {"is_fetched": True})


@require_safe
def follow(request: SignedInRequest, pk: int) -> HttpResponse:
    """To what the notification is about; it is read with that."""
    found = rooms.mark_read(request.user, pk)
    if found is None:
        raise Http404(f"You have no notification {pk}.")
    return redirect(found.path)


@require_POST
def follow_request(request: SignedInRequest, pk: int) -> HttpResponse:
    """Subscribes to a request, or mutes it."""
    found = get_request(pk)
    if request.POST.get("how") == "mute":
        rooms.mute(found, request.user)
        messages.success(request, "Muted. You are only notified when something needs you.")
    else:
        rooms.subscribe(found, request.user)
        messages.success(request, "Subscribed. You are notified about what happens to this request.")
    return redirect(f"{found.get_absolute_url()}#discussion")


@require_POST
def mark_all_read(request: SignedInRequest) -> HttpResponse:
    number = request.POST.get("up_to", "")
    if number.isascii() and number.isdigit() and len(number) < 19:
        rooms.mark_all_read(request.user, up_to=int(number))
    return redirect("approvals:notifications")


@require_http_methods(["GET", "HEAD", "POST"])
def choices(request: SignedInRequest) -> HttpResponse:
    wishes = preferences.wishes_of([request.user.pk])[request.user.pk]
    form = NotificationForm(request.POST or None, wishes)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        preferences.save(request.user, choices=form.choices, hour=said["hour"], time_zone=said["time_zone"])
        messages.success(request, "Your notification settings were saved.")
        return redirect("approvals:notification_choices")
    status = 422 if form.errors else 200
    delay = f"about {2 * settings.DRAIN_SECONDS} seconds"  # one task reads the ledger, another sends, each so often
    context = {"form": form, "delay": delay, "few": mailing.FEW, "minutes": int(mailing.WINDOW.total_seconds() / 60)}
    return render(request, "approvals/notifications/choices.html", context, status=status)
