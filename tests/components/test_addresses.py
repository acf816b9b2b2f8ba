"""Addresses that are made once, in Python and by `{% url %}`."""

import pytest
from django.template import Context, Template
from django.urls import NoReverseMatch, set_script_prefix

from components import addresses

pytestmark = pytest.mark.nodb


def shown(text: str, **context: object) -> str:
    return Template(text).render(Context(context))


def test_an_address_is_that_of_the_page_each_time() -> None:
    for _ in range(2):
        assert addresses.reverse("approvals:request", 7) == "/requests/7/"
        assert shown("{% url 'version' name 3 %}", name="a&b/c") == shown(
            "{% url 'version' name=name number=3 %}", name="a&b/c"
        )
        with pytest.raises(NoReverseMatch):
            shown("{% url 'approvals:request' number %}", number=None)
        with pytest.raises(NoReverseMatch):
            addresses.reverse("approvals:request", "seven")


def test_it_starts_where_the_installation_does() -> None:
    assert addresses.reverse("models") == "/models/"
    set_script_prefix("/gate/")
    try:
        assert (addresses.reverse("models"), shown("{% url 'models' %}")) == ("/gate/models/", "/gate/models/")
    finally:
        set_script_prefix("/")


def test_what_is_escaped_in_a_page_is_escaped_in_a_link() -> None:
    assert "&amp;" in shown("{% url 'model' name %}", name="a&b")
    assert "&amp;" not in shown("{% autoescape off %}{% url 'model' name %}{% endautoescape %}", name="a&b")
