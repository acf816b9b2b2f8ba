"""A person's own notifications: how they want to be told, and what they were told or still are owed."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from approvals.forms.notifications import NotificationForm
from approvals.models import Notification
from approvals.notifications import preferences
from approvals.views.shared import SignedInRequest
from components.pagination import page_of

PAGE_SIZE = 50


@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request: SignedInRequest) -> HttpResponse:
    wishes = preferences.wishes_of([request.user.pk])[request.user.pk]
    form = NotificationForm(request.POST or None, wishes)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        preferences.save(request.user, choices=form.choices, hour=said["hour"], time_zone=said["time_zone"])
        messages.success(request, "How you are told is saved.")
        return redirect("approvals:notifications")
    rows = Notification.objects.filter(recipient=request.user).select_related("request").order_by("-pk")
    context = {"form": form, "page": page_of(rows, PAGE_SIZE, request.GET.get("page"))}
    return render(request, "approvals/notifications/notifications.html", context, status=422 if form.errors else 200)
