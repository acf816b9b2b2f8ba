"""What a CI job runs when Countersign asks it about a version: is the call genuine, do the tests pass, post the answer.

Whatever receives the call (a webhook receiver, a workflow trigger) keeps it as it came: {"headers": {…}, "body": "…"}.
The standard library suffices. The secret is what `manage.py check_secret NAME` prints.

CHECK_SECRET=whsec_… python examples/ci_check.py call.json -- python examples/integration_test.py
"""

import argparse
import base64
import hmac
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

OLDEST_SECONDS = 3600
"""A job may wait in its queue before it can look."""


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")).decode()


def read_call(path: Path, secret: str) -> dict[str, Any]:
    """What was asked. Ends the program when Countersign did not ask it."""
    call = json.loads(path.read_text())
    headers = {name.lower(): value for name, value in call["headers"].items()}
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    expected = signature(secret, message_id, timestamp, call["body"].encode())
    if not hmac.compare_digest(expected, headers["webhook-signature"]):
        sys.exit("The call's signature is wrong.")
    if abs(time.time() - int(timestamp)) > OLDEST_SECONDS:
        sys.exit("The call is too old.")
    asked: dict[str, Any] = json.loads(call["body"])["data"]
    return asked


def post_answer(asked: dict[str, Any], secret: str, *, passed: bool, reason: str) -> None:
    said = {"result": "pass" if passed else "fail", "reason": reason, "fingerprint": asked["fingerprint"]}
    body, timestamp = json.dumps(said).encode(), str(int(time.time()))
    message_id = f"answer-{asked['request']}-{timestamp}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }
    request = urllib.request.Request(asked["answer_url"], body, headers)  # noqa: S310 -- Countersign signed it
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            print(json.load(answer)["detail"])
    except urllib.error.HTTPError as error:
        sys.exit(f"Countersign refused the answer ({error.code}): {error.read().decode()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("call", type=Path, help="the call, as it came")
    parser.add_argument("command", nargs="+", help="what tells: exit code 0 is a pass, its last line is the reason")
    options = parser.parse_args()

    secret = os.environ["CHECK_SECRET"]
    asked = read_call(options.call, secret)
    version = {"MODEL_NAME": asked["model"], "MODEL_VERSION": str(asked["version"])}
    done = subprocess.run(options.command, env=os.environ | version, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).strip().splitlines()
    reason = lines[-1] if lines else f"It ended with exit code {done.returncode}."
    post_answer(asked, secret, passed=done.returncode == 0, reason=reason)


if __name__ == "__main__":
    main()
