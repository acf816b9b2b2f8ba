"""The metrics of record that a model brings itself; a policy's go before them. See `approvals.policy.metrics`."""

from django.db import models

from approvals.policy import MetricRule, metrics


class ModelMetrics(models.Model):
    """One row a model, by its name as policies have it, so that it outlives the mirrored model."""

    model_name = models.CharField(max_length=256, unique=True)
    version = models.PositiveIntegerField(default=1, help_text="Rises with every change.")
    metrics = models.JSONField(default=list, help_text="The most important first: see MetricRule.as_json.")

    class Meta:
        verbose_name_plural = "model metrics"

    def __str__(self) -> str:
        return f"metrics of record of {self.model_name}"

    @property
    def rules(self) -> tuple[MetricRule, ...]:
        return metrics.from_json(self.metrics)
