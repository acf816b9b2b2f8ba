"""All that comes in signed: answers of external checks, health reports, events of MLflow."""
