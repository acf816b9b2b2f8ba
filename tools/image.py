"""Builds the images of the Dockerfiles without a container engine and without a registry, and runs their programs as a
container would: python -m tools.image [NAME…]

For root, with Debian's buildah and mmdebstrap. The base image is made of Debian's packages: the official one needs a
registry. Where packages come from is what pip and apt of this machine are set to.
"""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.install import pip_settings

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / ".image"
"""Of one checkout: containers' storage, the base, and what the last run found."""

DOCKERFILES = {"countersign": "Dockerfile", "countersign-mlflow": "deploy/docker/mlflow/Dockerfile"}
BASE, SUITE = "localhost/python:3.13", "trixie"
BASE_DAYS = 7
"""So long a base is good for the next run here. A fresh checkout makes its own."""

NEEDED = ("buildah", "mmdebstrap", "unshare", "setpriv")

# As root in a mount namespace of its own, which ends with the command: ROOT USER WORKDIR VOLUMES COMMAND…
ENTER = """
root=$1 user=$2 folder=$3 volumes=$4; shift 4
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev" && mount -t tmpfs -o mode=1777,size=64m tmpfs "$root/dev/shm"
for each in $volumes; do mount --bind "${each%%:*}" "$root${each##*:}"; done
exec /usr/sbin/chroot "$root" \
    setpriv "--reuid=$user" "--regid=$user" --clear-groups --bounding-set=-all --no-new-privs \
    sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
"""


class CannotBuild(Exception):
    """Something is missing or a step failed; says what, with the step's last words."""


@dataclasses.dataclass(frozen=True)
class Image:
    """A built image, mounted at `root`, and what its last stage says."""

    name: str
    root: Path
    environment: Mapping[str, str]
    command: Sequence[str]
    user: str
    folder: str

    def words(self, command: Sequence[str], *, volumes: Mapping[Path, str] | None = None) -> list[str]:
        """The command as a container runs it: as the image's user without capabilities, on a read-only root, with /tmp
        and /dev/shm empty and with processes of its own, which end with it. `volumes` are folders of this machine by
        their place in the image."""
        mounts = " ".join(f"{here}:{there}" for here, there in (volumes or {}).items())
        place = [str(self.root), self.user.partition(":")[0], self.folder, mounts]
        apart = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child=SIGKILL"]
        return [*apart, "sh", "-euc", ENTER, "sh", *place, *command]

    def run(
        self, *command: str, environment: Mapping[str, str] | None = None, text: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """Runs it to its end, whatever that is."""
        given = {**self.environment, **(environment or {})}
        return subprocess.run(self.words(command), env=given, input=text, capture_output=True, text=True, check=False)


def missing() -> str:
    """What this machine lacks to build images; "" where nothing."""
    lacks = [program for program in NEEDED if shutil.which(program) is None]
    if lacks:
        return f"{', '.join(lacks)} is missing; run `python tools/services.py`."
    return "" if os.geteuid() == 0 else "Images are built by root."


def build(names: Sequence[str] = tuple(DOCKERFILES)) -> dict[str, Image]:
    """Builds and mounts the images; one base for all, and two at a time. Raises CannotBuild."""
    if problem := missing():
        raise CannotBuild(problem)
    (FOLDER / "storage").mkdir(parents=True, exist_ok=True)
    release()
    _buildah("rmi", "--prune", check=False)
    if not _has_base():
        _make_base()
    with ThreadPoolExecutor(2) as both:
        # MLflow's takes longest, so it begins.
        waiting = {name: both.submit(_image, name) for name in sorted(names, reverse=True)}
        return {name: waiting[name].result() for name in names}


def release() -> None:
    """Unmounts what `build` mounted, and keeps the images."""
    _buildah("umount", "--all", check=False)
    _buildah("rm", "--all", check=False)


def _image(name: str) -> Image:
    started = time.monotonic()
    version = re.findall(r'VERSION = "(.+)"', (ROOT / "components" / "version.py").read_text())[0]
    arguments = {"PYTHON_IMAGE": BASE, "VERSION": version}
    words = [word for each, value in arguments.items() for word in ("--build-arg", f"{each}={value}")]
    for secret, text in index_settings().items():
        path = FOLDER / f"{secret}-{name}"
        path.touch(mode=0o600)
        path.write_text(text)
        words += ["--secret", f"id={secret},src={path}"]
    how = ["--isolation", "chroot", "--network", "host", "--pull-never", "--file", str(ROOT / DOCKERFILES[name])]
    _buildah("bud", *how, *words, "--tag", f"localhost/{name}", str(ROOT))
    container = _buildah("from", "--pull-never", f"localhost/{name}")
    root = Path(_buildah("mount", container))
    config = json.loads(_buildah("inspect", "--type", "image", f"localhost/{name}"))["OCIv1"]["config"]
    _say(f"localhost/{name}", started)
    return Image(
        name=name,
        root=root,
        environment=dict(each.split("=", 1) for each in config["Env"]),
        command=config["Cmd"],
        user=config.get("User", ""),
        folder=config["WorkingDir"],
    )


def index_settings() -> dict[str, str]:
    """How pip of this machine asks its index, as the secrets of the Dockerfiles: `pip`, a pip.conf, and `ca`, its
    certificates. Folders of this machine are left out: they are not there in a build."""
    known = pip_settings()
    options = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
    lines = ["[global]", *(f"{name} = {known[name]}" for name in options if known.get(name))]
    secrets = {}
    certificates = known.get("cert") or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    if certificates and Path(certificates).is_file():
        lines.append("cert = /run/secrets/ca")
        secrets["ca"] = Path(certificates).read_text()
    return secrets | {"pip": "\n".join([*lines, ""])}


def _has_base() -> bool:
    made = _buildah("images", "--format", "{{.CreatedAtRaw}}", BASE, check=False)
    found = re.match(r"\d{4}-\d\d-\d\d", made)
    if not found:
        return False
    age = time.time() - time.mktime(time.strptime(found[0], "%Y-%m-%d"))
    return age < BASE_DAYS * 86_400


def _make_base() -> None:
    """Debian with Python, as slim as the official image: without manuals, translations and documentation."""
    started = time.monotonic()
    apt, mirror = _apt_settings()
    (FOLDER / "apt.conf").write_text(apt)
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "man", "locale")]
    packages = "--include=python3,python3-venv,ca-certificates"
    options = ["--quiet", "--variant=minbase", packages, f"--aptopt={FOLDER / 'apt.conf'}", *left_out]
    _run("mmdebstrap", *options, SUITE, str(FOLDER / "base.tar"), *mirror)
    (FOLDER / "Base").write_text("FROM scratch\nADD base.tar /\n")
    _buildah("bud", "--isolation", "chroot", "--file", str(FOLDER / "Base"), "--tag", BASE, str(FOLDER))
    (FOLDER / "base.tar").unlink()
    _say(f"{BASE} of Debian {SUITE}", started)


def _apt_settings() -> tuple[str, list[str]]:
    """Proxies, certificates and the like of this machine's apt, and the address that it has Debian from."""
    said = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    kept = re.findall(r"^Acquire::(?:https?|Retries|Check-)\S* .*$", said, re.MULTILINE | re.IGNORECASE)
    which = "$(ORIGIN) $(LABEL) $(REPO_URI)"
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", which, "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=True,
    )
    mirror = re.findall(r"^Debian Debian (\S+)$", targets.stdout, re.MULTILINE)
    return "\n".join([*kept, ""]), mirror[:1]


def _buildah(*words: str, check: bool = True) -> str:
    storage = ["--root", str(FOLDER / "storage"), "--runroot", str(FOLDER / "run")]
    return _run("buildah", *storage, *words, check=check)


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER)
    if check and done.returncode:
        words = "\n".join(f"{done.stdout}\n{done.stderr}".splitlines()[-30:])
        raise CannotBuild(f"{shlex.join(command)} ended with {done.returncode}:\n{words}")
    return done.stdout.strip()


def _say(what: str, started: float) -> None:
    print(f"  ✓ {what} ({time.monotonic() - started:.0f} s)", flush=True)


def main() -> int:
    try:
        for image in build(sys.argv[1:] or tuple(DOCKERFILES)).values():
            print(f"  {image.name}: {image.root}")
    except CannotBuild as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
