"""A program with a token, and the API as it sees it."""

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from django.http import HttpResponse
from django.test import Client

from accounts import tokens
from accounts.models import ApiToken, User
from tests.support.factories import make_token

ROOT = "/api/v1"
_numbers = count(1)


@dataclass
class Answer:
    response: HttpResponse = field(repr=False)
    status: int
    body: Any

    def __getitem__(self, name: str) -> Any:
        """A member of the body."""
        return self.body[name]

    def header(self, name: str) -> str:
        return str(self.response.headers.get(name, ""))


class Machine:
    """`Machine(rita, "read").get("/models")`. `text=""` sends no token."""

    def __init__(self, user: User | None = None, *scopes: str, text: str = "", **fields: Any) -> None:
        """Without scopes the token has all that the account can have. `fields` are columns of its row."""
        self.text = make_token(user, *scopes, name=f"pipeline {next(_numbers)}") if user is not None else text
        if fields:
            ApiToken.objects.filter(digest=tokens.digest_of(self.text)).update(**fields)
        self.client = Client(raise_request_exception=False)

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        raw: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        own = {"authorization": f"Bearer {self.text}"} if self.text else {}
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        response = self.client.generic(
            method, f"{ROOT}{path}", content, content_type="application/json", headers=own | (headers or {})
        )
        is_json = "json" in response.headers.get("Content-Type", "") and bool(response.content)
        return Answer(response, response.status_code, json.loads(response.content) if is_json else response.content)

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.send("POST", path, body, headers=named)
