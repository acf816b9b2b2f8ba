"""Icons and chips that are kept drawn."""

import pytest
from django.utils.safestring import SafeString

from components.templatetags import ui

pytestmark = pytest.mark.nodb


def test_text_is_escaped_after_the_same_markup_was_drawn() -> None:
    assert "<b>x</b>" in ui.chip("tag", SafeString("<b>x</b>"), "grey")
    assert "&lt;b&gt;x&lt;/b&gt;" in ui.chip("tag", "<b>x</b>", "grey")
