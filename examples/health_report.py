"""Tells Countersign how a version on probation is doing: what a monitoring job runs after it has looked.

The standard library suffices. The secret is what `manage.py health_secret MODEL` prints, the address stands on the page
of the request. A healthy report is recorded and confirms nothing; one that is not healthy rolls the version back.

HEALTH_SECRET=whsec_… python examples/health_report.py ADDRESS --healthy
HEALTH_SECRET=whsec_… python examples/health_report.py ADDRESS --reason "p95 latency is 4.2 s" --reported-by Grafana
"""

import argparse
import base64
import hmac
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid


def signature(secret: str, message_id: str, timestamp: str, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, "sha256")).decode()


def report(address: str, secret: str, *, healthy: bool, reason: str, reported_by: str) -> str:
    """Posts it and returns what Countersign says. Ends the program when it was refused."""
    body = json.dumps({"healthy": healthy, "reason": reason, "reported_by": reported_by}).encode()
    message_id, timestamp = f"health-{uuid.uuid4()}", str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signature(secret, message_id, timestamp, body),
    }
    if not address.startswith(("https://", "http://")):
        sys.exit("The address begins with https:// or http://.")
    request = urllib.request.Request(address, body, headers)  # noqa: S310 -- checked above
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return str(json.load(answer)["detail"])
    except urllib.error.HTTPError as error:
        sys.exit(f"Countersign refused the report ({error.code}): {error.read().decode()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address", help="where to post it, as the page of the request shows it")
    state = parser.add_mutually_exclusive_group(required=True)
    state.add_argument("--healthy", action="store_true", help="all is well")
    state.add_argument("--reason", default="", help="what is wrong; the version is rolled back")
    parser.add_argument("--reported-by", default="health_report.py", help="who says so")
    options = parser.parse_args()
    print(
        report(
            options.address,
            os.environ["HEALTH_SECRET"],
            healthy=options.healthy,
            reason=options.reason,
            reported_by=options.reported_by,
        )
    )


if __name__ == "__main__":
    main()
