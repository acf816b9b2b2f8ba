"""What stands in for Countersign beside a guarded MLflow: a key, signed policies, and a server that gives them out and
hears of refusals."""

import contextlib
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow_gate import grants

KEY = Ed25519PrivateKey.from_private_bytes(b"countersign's key, only in tests")
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"a stranger's key, only in tests.")
PUBLIC_KEY = grants.public_key_of(KEY)
TOKEN = "token-of-the-gate"
WORDS = "it needs two approvals"


def rule(**changes: Any) -> dict[str, Any]:
    """One of the feed: Production and @champion of every model but the sandboxes, enforced."""
    return {
        "workspace": "",
        "models": ["*"],
        "except": ["sandbox_*"],
        "target": "Production",
        "stages": ["Production"],
        "aliases": ["champion"],
        "mode": "enforce",
        "words": WORDS,
    } | changes


def policy_text(*rules: Mapping[str, Any], serial: int = 12, **changes: Any) -> bytes:
    """The feed's body, as Countersign signs it."""
    said = {
        "serial": serial,
        "issued_at": "2026-11-27T10:00:00Z",
        "audience": "mlflow",
        "site": "https://countersign.example",
        "rules": list(rules or [rule()]),
        "sealed": [{"folder": "1/models/m-7e81/artifacts", "model": "churn", "version": 6}],
        "webhooks": ["hook-of-countersign"],
        "probe": "countersign-probe-",
        "doctor": "countersign-doctor-",
    }
    return json.dumps(said | changes).encode()


class Countersign:
    """`with Countersign() as site:` answers the gate as Countersign's web process does."""

    def __init__(self, *rules: Mapping[str, Any], serial: int = 12, key: Ed25519PrivateKey = KEY) -> None:
        self.rules, self.serial = rules, serial
        self.refusals: list[dict[str, Any]] = []
        self.openings: list[dict[str, Any]] = []
        self.asked = self.unchanged = 0
        self.redirect, self.is_away = "", False
        self.silent = threading.Lock()
        """While it is held, an answer waits."""
        self.serve(policy_text(*rules, serial=serial), key=key)
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with site.silent:
                    site.asked += 1
                if site.is_away:
                    self.answer(503)
                elif self.headers.get("Authorization") != f"Bearer {TOKEN}" or self.path != "/gate/policy":
                    self.answer(403)
                elif site.redirect:
                    self.answer(302, headers={"Location": site.redirect})
                elif self.headers.get("If-None-Match") == site.etag:
                    site.unchanged += 1
                    self.answer(304)
                else:
                    self.answer(200, site.text, {grants.SIGNATURE_HEADER: site.signature, "ETag": site.etag})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    self.answer(403)
                elif self.path == "/gate/refusals":
                    site.refusals += json.loads(body)
                    self.answer(204)
                elif self.path == "/gate/openings":
                    site.openings.append(json.loads(body))
                    self.answer(204)
                else:
                    self.answer(404)

            def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def serve(self, text: bytes, *, key: Ed25519PrivateKey = KEY) -> None:
        """This policy from now on."""
        with contextlib.suppress(ValueError, TypeError, KeyError):
            self.serial = json.loads(text)["serial"]
        self.text, self.signature = text, grants.sign_text(key, "policy", text)
        self.etag = f'"{self.signature[:20]}"'

    def environment(self, **changes: str) -> dict[str, str]:
        """Of the MLflow server, beside its store's address."""
        return {
            "COUNTERSIGN_SITE_URL": self.url,
            "COUNTERSIGN_GATE_KEYS": PUBLIC_KEY,
            "COUNTERSIGN_GATE_TOKEN": TOKEN,
        } | changes

    def __enter__(self) -> "Countersign":
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
