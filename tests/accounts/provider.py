"""A small OpenID Connect provider on this machine: discovery, authorize, token (PKCE), userinfo and keys, as the
standard has them. It signs whoever `person` says in without asking, and says so in `auth_time` when it is asked to."""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "countersign", "a-secret-of-the-client"


class Provider:
    """`with Provider() as provider:`; `refused` tells why a request was not answered, `asked` what sign-in was asked
    with. `claims` go into ID tokens and `userinfo` into the user info over what is right (None: leaves the claim out),
    `denial` is the error that people come back with instead of a code, `answers` what a path answers instead."""

    def __init__(self) -> None:
        self.reset()
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._codes: dict[str, dict[str, str]] = {}
        self._tokens: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._get(self)

            def do_POST(self) -> None:
                outer._post(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name of the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def reset(self) -> None:
        self.person: dict[str, Any] = {
            "sub": "1",
            "email": "nina@example.com",
            "email_verified": True,
            "name": "Nina New",
        }
        self.audience = CLIENT_ID
        self.refused: list[str] = []
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] = {}
        self.answers: dict[str, bytes] = {}
        self.denial = ""
        self.asked: list[dict[str, str]] = []

    def __enter__(self) -> "Provider":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        url = urlsplit(request.path)
        if url.path in self.answers:
            self._send(request, self.answers[url.path])
        elif url.path == "/.well-known/openid-configuration":
            self._answer(request, self._configuration())
        elif url.path == "/keys":
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
            self._answer(request, {"keys": [public | {"kid": "1", "use": "sig", "alg": "RS256"}]})
        elif url.path == "/authorize":
            self._authorize(request, {name: values[0] for name, values in parse_qs(url.query).items()})
        elif url.path == "/userinfo":
            if request.headers.get("Authorization", "").removeprefix("Bearer ") in self._tokens:
                self._answer(request, _without_none(self.person | self.userinfo))
            else:
                self._refuse(request, "unknown access token", 401)
        else:
            self._refuse(request, f"unknown path {url.path}", 404)

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _authorize(self, request: BaseHTTPRequestHandler, asked: dict[str, str]) -> None:
        if asked.get("client_id") != CLIENT_ID or asked.get("response_type") != "code":
            self._refuse(request, "not our client")
        elif "openid" not in asked.get("scope", "").split():
            self._refuse(request, "scope without openid")
        elif asked.get("code_challenge_method") != "S256" or not asked.get("state"):
            self._refuse(request, "without PKCE or state")
        else:
            code = secrets.token_urlsafe()
            self._codes[code] = asked
            self.asked.append(asked)
            given = {"error": self.denial} if self.denial else {"code": code}
            back = f"{asked['redirect_uri']}?{urlencode(given | {'state': asked['state']})}"
            request.send_response(302)
            request.send_header("Location", back)
            request.end_headers()

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        given = {name: values[0] for name, values in parse_qs(body).items()}
        asked = self._codes.pop(given.get("code", ""), None)
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if request.path in self.answers:
            self._send(request, self.answers[request.path])
        elif request.path != "/token" or asked is None:
            self._refuse(request, "unknown code")
        elif (given.get("client_id"), given.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            self._refuse(request, "wrong client secret", 401)
        elif challenge != asked["code_challenge"] or given.get("redirect_uri") != asked["redirect_uri"]:
            self._refuse(request, "not the one who began")
        else:
            token = secrets.token_urlsafe()
            self._tokens.add(token)
            now = int(time.time())
            claims = self.person | {"iss": self.issuer, "aud": self.audience, "iat": now, "exp": now + 300}
            claims |= {"nonce": asked["nonce"]} if "nonce" in asked else {}
            claims |= {"auth_time": now} if "max_age" in asked else {}
            id_token = jwt.encode(
                _without_none(claims | self.claims), self._key, algorithm="RS256", headers={"kid": "1"}
            )
            self._answer(
                request, {"access_token": token, "token_type": "Bearer", "expires_in": 300, "id_token": id_token}
            )

    def _answer(self, request: BaseHTTPRequestHandler, content: dict[str, Any], status: int = 200) -> None:
        self._send(request, json.dumps(content).encode(), status)

    def _send(self, request: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _refuse(self, request: BaseHTTPRequestHandler, why: str, status: int = 400) -> None:
        self.refused.append(why)
        self._answer(request, {"error": "invalid_request", "error_description": why}, status)


def _without_none(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if value is not None}
