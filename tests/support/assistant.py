"""A client of the Model Context Protocol, and the server of `countersign mcp` as its process."""

import json
import subprocess
from typing import Any

from tests.support.command_line import PYTHON

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Assistant:
    """Writes lines and reads lines, as a client of the protocol does."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [PYTHON, "-m", "countersign", "mcp"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._number = 0

    def send(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(text.encode() + b"\n")
        self._process.stdin.flush()

    def read(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}))
        answer: dict[str, Any] = self.read()
        assert answer["id"] == self._number
        return answer

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.ask("tools/call", name=tool, arguments=arguments, _meta=MODERN)["result"]
        return result

    def tell(self, method: str) -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "method": method}))

    def end(self) -> tuple[int, bytes]:
        """Closes its input; returns the exit code, and what it wrote to standard error."""
        _, said = self._process.communicate(timeout=20)
        return self._process.returncode, said
