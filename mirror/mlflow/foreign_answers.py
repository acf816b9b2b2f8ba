"""What answers in MLflow's place, in words: a redirect to a sign-in page, or such a page itself."""

import html
import re
from urllib.parse import urlsplit

import requests

_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_PAGE = re.compile(rb"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)


def redirect(response: requests.Response) -> str:
    """`a redirect to https://login.example.com/start`, without its query, which may carry secrets; "" for none."""
    if response.status_code not in {301, 302, 303, 307, 308}:
        return ""
    try:
        target = urlsplit(response.headers.get("Location", ""))
        port = f":{target.port}" if target.port else ""
        address = f"{target.scheme}://{target.hostname}{port}{target.path}" if target.hostname else target.path
    except ValueError:
        address = ""
    return f"a redirect to {address[:200]}" if address else "a redirect to nowhere"


def page(response: requests.Response) -> str:
    """`an HTML page, “Sign in”`; "" for anything that is not HTML."""
    body = response.content[:20_000]
    if not _PAGE.match(body):
        return ""
    found = _TITLE.search(body)
    title = " ".join(html.unescape(found[1].decode("utf-8", "replace")).split())[:100] if found else ""
    return f"an HTML page, “{title}”" if title else "an HTML page"


def words(url: str, what: str) -> str:
    hint = "Check MLFLOW_TRACKING_URI, and whether a proxy in front of it wants people to sign in."
    return f"Something else than MLflow answers at {url}: {what}. {hint}"
