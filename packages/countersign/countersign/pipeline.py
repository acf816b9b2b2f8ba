"""What the environment of a CI job tells: which run this is, where its page is, and who vouches for it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping

RUNS = (
    "COUNTERSIGN_RUN_ID",
    "GITHUB_RUN_ID",
    "CI_PIPELINE_ID",
    "BUILDKITE_BUILD_ID",
    "CIRCLE_WORKFLOW_ID",
    "BITBUCKET_PIPELINE_UUID",
    "BUILD_BUILDID",
    "BUILD_TAG",
)
"""What names a run and stays when one of its jobs runs again; the first that is set counts. The last two are Azure's
and Jenkins'."""

PAGES = ("CI_JOB_URL", "BUILDKITE_BUILD_URL", "CIRCLE_BUILD_URL", "BUILD_URL")


def run_id(environment: Mapping[str, str]) -> str:
    """With the variable's name, so that two systems never mean the same; "" outside CI."""
    return next((f"{name}={environment[name]}" for name in RUNS if environment.get(name)), "")


LINK = re.compile(r"https?://[^\s@<>\"\\^`{|}]+", re.ASCII)
"""Countersign refuses others: the link is kept, and people click on it."""


def run_url(environment: Mapping[str, str]) -> str:
    """The page of this run; "" where it is not known."""
    link = _run_url(environment)
    return link if link.isascii() and len(link) <= 500 and LINK.fullmatch(link) else ""


def _run_url(environment: Mapping[str, str]) -> str:
    server, repository, run = (
        environment.get(name, "") for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    )
    if server and repository and run:
        return f"{server}/{repository}/actions/runs/{run}"
    return next((environment[name] for name in PAGES if environment.get(name)), "")


def idempotency_key(model: str, version: str, target: str, run: str) -> str:
    """64 hexadecimal digits, the same whenever this run asks the same: a job that runs again finds its request."""
    text = json.dumps([model, version, target, run], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
