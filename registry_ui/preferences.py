"""What people choose for themselves: the theme, kept in a cookie, and keyboard shortcuts, kept with the person."""

from django import forms
from django.conf import settings
from django.http import HttpResponse

from accounts.models import User

THEMES = {"system": "Same as system", "light": "Light", "dark": "Dark"}
ONE_YEAR = 31_536_000


class PreferencesForm(forms.Form):
    theme = forms.ChoiceField(choices=THEMES.items, widget=forms.RadioSelect)
    uses_shortcuts = forms.BooleanField(
        required=False,
        label="Keyboard shortcuts",
        help_text="Single keys, such as / for the search. No shortcut approves or rejects.",
    )


def remember(user: User, response: HttpResponse, *, theme: str, uses_shortcuts: bool) -> None:
    """The theme is of the browser, not of the person; `theme.js` reads and writes the same cookie."""
    User.objects.filter(pk=user.pk).update(uses_shortcuts=uses_shortcuts)
    response.set_cookie("theme", theme, max_age=ONE_YEAR, samesite="Lax", secure=settings.IS_HTTPS)
