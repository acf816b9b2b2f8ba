"""The menu of saved views of a page with a list."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.template.context import Context
from django.urls import reverse

from components import saved_views as kept
from components.saved_views import View

register = template.Library()


@dataclass(frozen=True, slots=True)
class Choice:
    view: View
    url: str
    is_shown: bool


@register.inclusion_tag("components/_saved_views.html", takes_context=True)
def saved_views(context: Context, page: str) -> dict[str, Any]:
    """`{% saved_views "overview" %}`: a key of `components.saved_views.PAGES`; among the actions of the page."""
    request = context["request"]
    query = kept.query_of(request.GET.urlencode())
    address = reverse(kept.PAGES[page])
    found = kept.of(request.user, page)
    return {
        "page": page,
        "query": query,
        "choices": [Choice(each, f"{address}{each.address}", each.query == query) for each in found],
        "everything": f"{address}?{kept.EVERYTHING}",
        "longest": kept.LONGEST_NAME,
        "csrf_token": context.get("csrf_token"),
    }
