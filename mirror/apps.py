from django.apps import AppConfig


class MirrorConfig(AppConfig):
    name = "mirror"
    label = "mirror"
    verbose_name = "Mirror of the MLflow Model Registry"
