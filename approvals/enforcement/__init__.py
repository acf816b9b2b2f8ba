"""Countersign's side of the gate in the MLflow server: what it is told (`feed`), and what it tells (`refusals`,
`openings`).

Why it is refused in MLflow, and by whom, is in ADR 18."""
