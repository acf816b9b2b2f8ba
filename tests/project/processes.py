"""Which process gets which secret: the one table that docker-compose.yml and the chart are held against.

By the variables as the settings call them; either gives each as NAME_FILE. Whoever breaks into a process has what this
table lets it have, and docs/security.md says what can be done with that.
"""

from collections.abc import Mapping

SECRETS: Mapping[str, frozenset[str]] = {
    # What people reach. It holds nothing that signs for MLflow or signs the ledger, and no account of MLflow's.
    "web": frozenset(
        {
            "COUNTERSIGN_SECRET_KEY",
            "DATABASE_URL",
            "CELERY_BROKER_URL",
            "EMAIL_URL",
            "COUNTERSIGN_OIDC_CLIENT_SECRET",
            "COUNTERSIGN_PROXY_AUTH_SECRET",
            "COUNTERSIGN_MLFLOW_WEBHOOK_SECRET",
            "COUNTERSIGN_METRICS_TOKEN",
            "COUNTERSIGN_GATE_TOKEN",
        }
    ),
    # The same program where MLflow reaches it, and people do not.
    "gate": frozenset({"COUNTERSIGN_SECRET_KEY", "DATABASE_URL", "CELERY_BROKER_URL", "COUNTERSIGN_GATE_TOKEN"}),
    "worker": frozenset(
        {
            "COUNTERSIGN_SECRET_KEY",
            "DATABASE_URL",
            "CELERY_BROKER_URL",
            "EMAIL_URL",
            "MLFLOW_TRACKING_PASSWORD",
            "MLFLOW_TRACKING_TOKEN",
            "COUNTERSIGN_CHECKPOINT_KEY",
            "COUNTERSIGN_GATE_KEY",
            "COUNTERSIGN_CHAT_URLS",
            "COUNTERSIGN_METRICS_TOKEN",
        }
    ),
    "beat": frozenset({"COUNTERSIGN_SECRET_KEY", "DATABASE_URL", "CELERY_BROKER_URL"}),
    # DATABASE_URL of the role that owns the tables; the token says that MLflow has the gate.
    "migrate": frozenset({"COUNTERSIGN_SECRET_KEY", "DATABASE_URL", "COUNTERSIGN_GATE_TOKEN"}),
}

OPTIONAL = frozenset(
    {
        "EMAIL_URL",
        "COUNTERSIGN_OIDC_CLIENT_SECRET",
        "COUNTERSIGN_PROXY_AUTH_SECRET",
        "COUNTERSIGN_MLFLOW_WEBHOOK_SECRET",
        "COUNTERSIGN_METRICS_TOKEN",
        "COUNTERSIGN_CHAT_URLS",
        "COUNTERSIGN_CHECKPOINT_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
    }
)
"""What an installation can do without: empty, or missing, is the same as not set."""
