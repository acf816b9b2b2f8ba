"""Where the token comes from: COUNTERSIGN_TOKEN, or in CI a short one in exchange for the job's identity token, so that
no secret is kept there.

GitHub gives identity tokens to jobs with `permissions: id-token: write`, as many as they ask for; GitLab puts each into
the variable that `id_tokens:` names, COUNTERSIGN_ID_TOKEN and then COUNTERSIGN_ID_TOKEN_2 to _9. Each is taken once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from countersign.errors import Misconfigured, Refused, Unavailable
from countersign.transport import TRIES, backoff

GITHUB_URL, GITHUB_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
ID_TOKEN = "COUNTERSIGN_ID_TOKEN"  # noqa: S105 -- a name
ID_TOKENS = (ID_TOKEN, *(f"{ID_TOKEN}_{number}" for number in range(2, 10)))
USED = "id_token_used"
NONE = (
    "There is no token. Set COUNTERSIGN_TOKEN to one that you make in Countersign under Preferences, API tokens; or "
    "let the job prove who it is: in GitHub Actions with `permissions: id-token: write`, in GitLab with "
    "`id_tokens: COUNTERSIGN_ID_TOKEN:`."
)


class Given:
    """A token that does not change."""

    def __init__(self, token: str) -> None:
        self._token = token

    def token(self) -> str:
        return self._token

    def renew(self) -> bool:
        return False


class Exchanged:
    """A token for some minutes, had again when it has expired. `url` is Countersign's address."""

    def __init__(
        self,
        url: str,
        environment: Mapping[str, str],
        *,
        timeout: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = url.rstrip("/")
        self._environment = environment
        self._timeout = timeout
        self._sleep = sleep
        self._token = ""
        self._given = [environment[name] for name in ID_TOKENS if environment.get(name)]
        self._is_of_github = not self._given

    def token(self) -> str:
        """Raises Refused and Unavailable."""
        while not self._token:
            try:
                self._token = self._exchange(self._of_github() if self._is_of_github else self._given.pop(0))
            except Refused as error:  # noqa: PERF203 -- an earlier command of this job took that one
                if error.code != USED or not self._given:
                    raise
        return self._token

    def renew(self) -> bool:
        """Whether there is another identity token to exchange."""
        had, self._token = self._token, ""
        if had and not (self._given or self._is_of_github):
            self._token = had
            return False
        return bool(had)

    def _of_github(self) -> str:
        answer = self._ask(
            "GET",
            self._environment[GITHUB_URL],
            params={"audience": self._url},
            headers={"Authorization": f"Bearer {self._environment[GITHUB_TOKEN]}"},
        )
        return str(_field(answer, "value", "GitHub's identity token"))

    def _exchange(self, id_token: str) -> str:
        answer = self._ask("POST", f"{self._url}/api/v1/token-exchange", json={"id_token": id_token})
        return str(_field(answer, "access_token", "the token in exchange for the job's identity token"))

    def _ask(self, method: str, url: str, **given: Any) -> requests.Response:
        what = "Countersign" if url.startswith(self._url) else "GitHub"
        trouble = ""
        for count in range(1, TRIES + 1):
            try:
                answer = requests.request(method, url, timeout=self._timeout, allow_redirects=False, **given)
            except requests.RequestException as error:
                trouble = type(error).__name__
            else:
                if answer.status_code < 300:
                    return answer
                trouble = f"it answered {answer.status_code}"
                if answer.status_code < 500 and answer.status_code != 429:
                    raise Refused(answer.status_code, _problem(answer, what))
            if count < TRIES:
                self._sleep(backoff(count))
        raise Unavailable(f"{what} did not give a token: {trouble}.")


def found(
    url: str, environment: Mapping[str, str], *, timeout: float, sleep: Callable[[float], None] = time.sleep
) -> Given | Exchanged:
    """Raises Misconfigured when there is neither a token nor anything to exchange."""
    if token := environment.get("COUNTERSIGN_TOKEN", "").strip():
        return Given(token)
    if environment.get(ID_TOKEN) or (environment.get(GITHUB_URL) and environment.get(GITHUB_TOKEN)):
        return Exchanged(url, environment, timeout=timeout, sleep=sleep)
    raise Misconfigured(NONE)


def _field(answer: requests.Response, name: str, what: str) -> Any:
    try:
        return answer.json()[name]
    except (ValueError, KeyError, TypeError):
        raise Unavailable(f"The answer has no {name}, so {what} is missing.") from None


def _problem(answer: requests.Response, what: str) -> dict[str, Any]:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict) and problem.get("detail"):
        return problem
    return {
        "code": "token_exchange_failed",
        "detail": f"{what} did not give a token: it answered {answer.status_code}.",
    }
