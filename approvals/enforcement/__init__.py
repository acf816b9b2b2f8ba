"""Countersign's side of the gate in the MLflow server: what it is told (`feed`).

Why it is refused in MLflow, and by whom, is in ADR 18."""
