"""How a model's name is in an address: any text that MLflow takes for a name, line breaks included."""

from django.urls.converters import StringConverter


class ModelName(StringConverter):
    regex = r"(?s:.+)"
