"""The shape of an outgoing webhook as administrators write it."""

from typing import Any

from django import forms

from approvals.models import Webhook
from approvals.models.event_types import WEBHOOKS

SIGN_ON = [("keep", "The secret before stays valid for 24 hours"), ("drop", "The secret before stops at once")]


class WebhookForm(forms.Form):
    name = forms.CharField(max_length=80, label="Name", help_text="What receives it: CI, Slack #ml, serving, …")
    url = forms.CharField(
        max_length=2000,
        label="Address",
        help_text="Begins with https://. It can be a secret, so only this form shows all of it.",
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off", "spellcheck": "false"}),
    )
    types = forms.MultipleChoiceField(
        choices=[(name, f"{words} ({name})") for name, words in WEBHOOKS.items()],
        widget=forms.CheckboxSelectMultiple,
        label="Events",
    )
    model_pattern = forms.CharField(
        max_length=256,
        label="Models",
        initial="*",
        help_text="A model's name, or a pattern: * is any text, ? any one character. Names are case-sensitive.",
    )

    def __init__(self, *args: Any, webhook: Webhook, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.webhook = webhook

    def typed(self) -> Webhook:
        """What was typed, on the webhook that is edited; not saved."""
        for name in ("name", "url", "types", "model_pattern"):
            value = self.cleaned_data[name]
            setattr(self.webhook, name, value.strip() if isinstance(value, str) else value)
        return self.webhook

    @staticmethod
    def initial_of(webhook: Webhook) -> dict[str, Any]:
        return {name: getattr(webhook, name) for name in ("name", "url", "types", "model_pattern")}


class RotateForm(forms.Form):
    previous = forms.ChoiceField(
        choices=SIGN_ON,
        initial="keep",
        widget=forms.RadioSelect,
        label="Until the receiver has the new secret",
        help_text="While both are valid, each message carries both signatures.",
    )


class ReplayForm(forms.Form):
    sequence = forms.IntegerField(
        min_value=1,
        label="First event",
        help_text="The number that the history shows. Earlier: messages are sent again with the ids that they had. "
        "Later: what is in between is not sent.",
    )
