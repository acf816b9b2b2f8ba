"""Databricks' clients as people have them: the newest SDK, and the last one that spoke the old words, each unmodified
and in a process of its own."""

import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry_ui.demo.installation import ROOT

CACHE = ROOT / ".countersign" / "databricks-sdk"
INSTALLED, OLD = "", "0.57.0"
"""The one that came with MLflow, and the last before its words changed."""

CALLS = Path(__file__).with_name("databricks_calls.py")


def install(version: str) -> Path:
    """Gets this version of the SDK once, without what it needs, which the installed one has brought. Raises
    CalledProcessError where it cannot be had."""
    folder = CACHE / version
    folder.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # files of tests run side by side
        if not (folder / "installed").exists():
            command = [sys.executable, "-m", "uv", "--quiet", "pip", "install", "--no-deps", "--target", str(folder)]
            subprocess.run([*command, f"databricks-sdk=={version}"], check=True, timeout=300)
            (folder / "installed").touch()
    return folder


class Refused(Exception):
    """What the SDK raised."""

    def __init__(self, said: dict[str, Any]) -> None:
        super().__init__(f"{said['raised'][0]}: {said['message']}")
        self.kinds: list[str] = said["raised"]
        """Names of its class and of all above."""
        self.message: str = said["message"]
        self.code: str = said.get("code", "")
        self.infos: list[Any] = said.get("infos", [])

    @property
    def reason(self) -> str:
        """Of `get_error_info()`."""
        return str(self.infos[0][0]) if self.infos else ""

    @property
    def url(self) -> str:
        return str(self.infos[0][2].get("url", "")) if self.infos else ""


@dataclass
class Program:
    """`with Program("0.57.0") as program:`, then `program.at(host).as_(token).create_comment(name=…)`."""

    version: str = INSTALLED
    _process: "subprocess.Popen[str] | None" = field(default=None, repr=False)

    def __enter__(self) -> "Program":
        path = {"PYTHONPATH": str(install(self.version))} if self.version else {}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("DATABRICKS")}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(CALLS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean | path,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.communicate(timeout=30)

    def at(self, host: str, *, patience: int = 5) -> "Sdk":
        """`patience` is for how many seconds it tries again."""
        return Sdk(self, host, patience)

    def call(self, **said: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(self._process.communicate()[1][-3000:])
        answer = json.loads(line)
        if "raised" in answer:
            raise Refused(answer)
        return answer["result"]


@dataclass(frozen=True)
class Sdk:
    program: Program
    host: str
    patience: int

    @property
    def version(self) -> str:
        return self.program.version

    def as_(self, token: str) -> "Caller":
        return Caller(self, token)

    def call(self, token: str, name: str, arguments: dict[str, Any]) -> Any:
        return self.program.call(host=self.host, token=token, name=name, arguments=arguments, patience=self.patience)


@dataclass(frozen=True)
class Caller:
    """One person's client. Each attribute is a method of `w.model_registry`; `do` is `w.api_client.do`, `me` is
    `w.current_user.me`."""

    sdk: Sdk
    token: str

    def __getattr__(self, name: str) -> Any:
        return lambda **arguments: self.sdk.call(self.token, name, arguments)
