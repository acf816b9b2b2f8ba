"""Names each image that this repository builds on or starts by its digest: python tools/pins.py [--check]

It asks the registry, by skopeo or by docker with buildx, and writes what that says. --check asks nobody, and ends with
1 while one is named by its tag alone.
"""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = ("Dockerfile", "deploy/docker/mlflow/Dockerfile", "docker-compose.yml")

NAMED = re.compile(
    r"^(?P<before>(?:ARG \w+_IMAGE=|FROM |\s+image: ))(?P<name>[\w./-]+:[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?$",
    re.MULTILINE,
)
"""Our own images are built, not fetched, and are named without a tag."""

HOW = {
    "skopeo": ["skopeo", "inspect", "--raw", "docker://{}"],
    "docker": ["docker", "buildx", "imagetools", "inspect", "--raw", "{}"],
}


class CannotAsk(Exception):
    """No registry can be asked; says why."""


def unpinned(root: Path = ROOT) -> list[str]:
    """Images that are named by tag alone, with the file."""
    found = [(file, each) for file in FILES for each in NAMED.finditer((root / file).read_text())]
    return [f"{file}: {each['name']}" for file, each in found if not each["digest"]]


def digest(name: str) -> str:
    """Of what the tag means now, for all processors at once: of the list's own bytes. Raises CannotAsk."""
    command = next((words for program, words in HOW.items() if shutil.which(program)), None)
    if command is None:
        raise CannotAsk(f"This needs {' or '.join(HOW)}.")
    done = subprocess.run([word.format(name) for word in command], capture_output=True, check=False)
    if done.returncode or not done.stdout:
        raise CannotAsk(f"{name}: {done.stderr.decode(errors='replace').strip()}")
    return f"sha256:{hashlib.sha256(done.stdout).hexdigest()}"


def pin(root: Path = ROOT, ask: Callable[[str], str] = digest) -> list[str]:
    """Writes the digests, all or none; what changed. Raises CannotAsk."""
    known: dict[str, str] = {}
    texts: dict[Path, str] = {}
    changed = []

    def pinned(found: re.Match[str]) -> str:
        name = found["name"]
        known[name] = known.get(name) or ask(name)
        line = f"{found['before']}{name}@{known[name]}"
        if line != found[0]:
            changed.append(f"{name}@{known[name]}")
        return line

    for file in FILES:
        texts[root / file] = NAMED.sub(pinned, (root / file).read_text())
    for path, text in texts.items():
        path.write_text(text)
    return changed


def main(words: Sequence[str]) -> int:
    if list(words) == ["--check"]:
        for each in (found := unpinned()):
            print(f"{each} is named by its tag alone; python tools/pins.py writes its digest.")
        return 1 if found else 0
    try:
        for each in pin():
            print(each)
    except CannotAsk as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
