"""What people choose for themselves: the theme, kept in a cookie; time zone and keyboard shortcuts, kept with the
person."""

from django import forms
from django.conf import settings
from django.http import HttpResponse

from accounts.models import User
from components import times

THEMES = {"system": "Same as system", "light": "Light", "dark": "Dark"}
ONE_YEAR = 31_536_000


class PreferencesForm(forms.Form):
    theme = forms.ChoiceField(choices=THEMES.items, widget=forms.RadioSelect)
    time_zone = forms.CharField(
        required=False,
        max_length=times.LONGEST_ZONE,
        label="Time zone",
        help_text="Such as Europe/Berlin. Leave empty to use the zone of your browser.",
        widget=forms.TextInput(attrs={"list": "time-zones", "autocomplete": "off"}),
    )
    uses_shortcuts = forms.BooleanField(
        required=False,
        label="Keyboard shortcuts",
        help_text="Single keys, such as / for the search. No shortcut approves or rejects.",
    )

    def clean_time_zone(self) -> str:
        name: str = self.cleaned_data["time_zone"].strip()
        if name and times.zone_named(name) is None:
            raise forms.ValidationError("There is no time zone of this name.")
        return name


def remember(user: User, response: HttpResponse, *, theme: str, uses_shortcuts: bool, time_zone: str) -> None:
    """The theme is of the browser, not of the person; `theme.js` reads and writes the same cookie."""
    User.objects.filter(pk=user.pk).update(uses_shortcuts=uses_shortcuts, time_zone=time_zone)
    response.set_cookie("theme", theme, max_age=ONE_YEAR, samesite="Lax", secure=settings.IS_HTTPS)
