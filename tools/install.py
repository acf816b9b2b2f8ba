"""Installs into the environment of this Python: python tools/install.py WHAT…

Each is a locked requirements file, whose packages are fetched and held against their hashes, or a folder with a package
of our own, which is built with what is there. By uv, which takes seconds where pip takes a minute, and asks the index
that pip of this machine is set to ask. Where uv cannot be had or fails, pip does it, or says what is wrong.
"""

import ast
import functools
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

UV = Path(__file__).with_name("uv.txt")
"""The lock of uv itself, which pip installs."""

VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
"""What uv calls a setting of pip."""


def pip_settings() -> dict[str, str]:
    """What pip of this machine is set to, by the name of the option, its words parted by spaces; its environment counts
    before its files. Folders are left out: pip passes over one that is not there, and others stop at it."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        kept = [word for word in ast.literal_eval(value).split() if not word.startswith("file:")]
        option = name.rpartition(".")[2].removeprefix("default-")
        found[option] = " ".join(word for word in kept if option == "cert" or not word.startswith("/"))
    return found


@functools.cache
def environment() -> dict[str, str]:
    """Of uv: pip's settings in its words. Which index has a package is no matter: the lock has its hashes."""
    asked = {VARIABLES[name]: value for name, value in pip_settings().items() if name in VARIABLES and value}
    return asked | {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_PYTHON_DOWNLOADS": "never"} | os.environ


def install(what: str) -> int:
    """0, or how pip ended."""
    if Path(what).is_dir():
        words = ["--no-index", "--no-deps", "--no-build-isolation"]
        return _uv([*words, "--reinstall", what]) and _pip([*words, "--force-reinstall", what])
    words = ["--require-hashes", "--requirement", what]
    return _uv(words) and _pip(words)


def _uv(words: Sequence[str]) -> int:
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *words]
    return subprocess.run(command, env=environment(), check=False).returncode


def _pip(words: Sequence[str]) -> int:
    command = [sys.executable, "-m", "pip", "install", "--no-input", "--progress-bar=off", *words]
    return subprocess.run(command, env=os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}, check=False).returncode


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and what runs just now ends, too
    _pip(["--quiet", "--require-hashes", "--requirement", str(UV)])
    return next((ended for what in sys.argv[1:] if (ended := install(what))), 0)


if __name__ == "__main__":
    sys.exit(main())
