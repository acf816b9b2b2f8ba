"""A model, typed by its whole name."""

from typing import Any

from django import forms

from approvals.tenures.model_names import LONGEST, known


class ModelNameField(forms.CharField):
    """A model by its whole name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"max_length": LONGEST, "strip": False} | options)

    def to_python(self, value: Any) -> str:
        return known(str(super().to_python(value) or ""))
