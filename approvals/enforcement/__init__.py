"""Countersign's side of the gate in the MLflow server: what it is told (`feed`), what it tells (`refusals`,
`openings`, both read by `reading`), and whether it is there at all (`probe`).

Why it is refused in MLflow, and by whom, is in ADR 18."""
