"""Fills an MLflow server's SQLite database with many versions: through the API it would take an hour."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

STAGES = ("None", "None", "None", "Archived", "Staging", "Production")


def fill(database: Path, *, models: int, versions_each: int, now: int | None = None) -> None:
    """`models` × `versions_each` versions with two tags each; the server must have made the tables before. `now` is in
    milliseconds."""
    now = now or int(time.time() * 1000)
    span = models * versions_each
    with closing(sqlite3.connect(database)) as link, link:
        names = [f"model_{number:05}" for number in range(models)]
        link.executemany(
            "INSERT INTO registered_models (name, creation_time, last_updated_time, description) VALUES (?, ?, ?, '')",
            [(name, now - span, now) for name in names],
        )
        rows, tags = [], []
        for index, name in enumerate(names):
            for number in range(1, versions_each + 1):
                at = now - span + index * versions_each + number
                stage = STAGES[number % len(STAGES)] if number > versions_each - len(STAGES) else "Archived"
                rows.append(
                    (name, number, at, at, f"Trained for the {number}th time.", stage, f"s3://models/{name}/{number}")
                )
                tags += [(name, number, "training_cutoff", "2026-10-31"), (name, number, "team", "retention")]
        link.executemany(
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, current_stage,"
            " source, status) VALUES (?, ?, ?, ?, ?, ?, ?, 'READY')",
            rows,
        )
        link.executemany("INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)", tags)
        link.executemany(
            "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, 'champion', ?)",
            [(name, versions_each) for name in names],
        )
