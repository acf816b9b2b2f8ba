"""An issuer of identity tokens on loopback, as GitHub Actions and GitLab are: publishes its keys, and signs."""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

PATHS = ("/.well-known/jwks", "/oauth/discovery/keys")


class Issuer:
    """`answer` replaces what it publishes: (status, headers, body); `asked` counts."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.asked = 0
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.add_key("one")

    def add_key(self, kid: str) -> None:
        self.keys[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def published(self) -> bytes:
        keys = [
            {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}
            for kid, key in self.keys.items()
        ]
        return json.dumps({"keys": keys}).encode()

    def github(self, audience: str, **claims: Any) -> str:
        told = {
            "repository": "acme/churn",
            "repository_id": "7401",
            "ref": "refs/heads/main",
            "run_id": "8123",
            "sub": "repo:acme/churn:ref:refs/heads/main",
        }
        return self.signed(told | {"aud": audience} | claims)

    def gitlab(self, audience: str, **claims: Any) -> str:
        told = {
            "project_path": "acme/ml/churn",
            "project_id": "22",
            "ref": "main",
            "ref_path": "refs/heads/main",
            "job_id": "91",
            "sub": "project_path:acme/ml/churn:ref_type:branch:ref:main",
        }
        return self.signed(told | {"aud": audience} | claims)

    def signed(self, claims: dict[str, Any], *, kid: str = "one", algorithm: str = "RS256", key: Any = None) -> str:
        now = int(time.time())
        whole = {"iss": self.url, "iat": now, "nbf": now, "exp": now + 300, "jti": str(uuid.uuid4())} | claims
        told = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(told, self.keys[kid] if key is None else key, algorithm=algorithm, headers={"kid": kid})


@contextmanager
def running() -> Iterator[Issuer]:
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            status, headers, body = issuer.answer or (200, {}, issuer.published())
            self.send_response(status if self.path in PATHS else 404)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
