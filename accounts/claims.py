"""What the identity provider says of a person: read and bounded once, before anything uses it.

`Adapter` stands between django-allauth and the provider's answers, and gives allauth nothing but what `read` let
through. Whatever cannot be used is `Unusable`, which ends on the page "Sign-in failed" with the reason.
"""

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

import requests
from allauth.account.internal.emailkit import valid_email_or_none
from allauth.socialaccount import app_settings
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.http import HttpRequest

from accounts.models import plain

NAMES = ("name", "given_name", "family_name")
NAME_LENGTH = 120
ADDRESS_LENGTH = 254
NONCE_LENGTH = 255
AMR_LENGTH, MOST_AMR = 30, 20


class Unusable(OAuth2Error):
    """The provider's answer cannot be used. The sentence continues after the provider's name, and quotes no claim."""


class Adapter(OpenIDConnectOAuth2Adapter):
    """django-allauth's, which takes answers for well formed."""

    @property
    def openid_config(self) -> dict[str, Any]:
        """What the provider publishes about itself. Raises Unusable when an address in it is none."""
        with _readable("a configuration"):
            config: dict[str, Any] = super().openid_config
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "issuer"):
                if not isinstance(config[name], str):
                    raise TypeError(name)
            return config

    def get_access_token_data(self, *args: Any, **kwargs: Any) -> Any:
        with _readable("a token"):
            return super().get_access_token_data(*args, **kwargs)

    def parse_token(self, data: Any) -> Any:
        with _readable("a token"):
            return super().parse_token(data)

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        with _readable("an ID token"):
            id_token = self._decode_id_token(app, kwargs["response"]["id_token"])
        userinfo = []
        if "userinfo_endpoint" in self.openid_config:
            with _readable("user info"):
                userinfo = [self._fetch_user_info(token.token)]
        told = read(*userinfo, id_token)
        _refuse_foreign_address(told, app.settings.get("email_domains"))
        if claim := app.settings.get("roles_claim"):
            told |= roles_in(claim, {value for value, _ in app.settings["roles"]}, id_token, *userinfo)
        return self.get_provider().sociallogin_from_response(request, {"id_token": told})


def read(*sources: Any) -> dict[str, Any]:
    """The claims that Countersign uses, from the user info, if there is one, and the ID token, which comes last; what
    comes first goes before: `sub`; `email` and `email_verified` (bool); `name`, `given_name`, `family_name` (one line
    each); of the ID token alone `nonce`, `auth_time` (seconds) and `amr` (list of text). What was not said is left out.
    Raises Unusable."""
    if not all(isinstance(source, dict) for source in sources):
        raise Unusable("sent something that is no list of claims.")
    id_token = sources[-1]
    subjects = {_subject(source) for source in sources}
    if len(subjects) != 1:
        # OpenID Connect Core 5.3.2: user info about another subject must not be used.
        raise Unusable("did not identify you clearly.")
    found: dict[str, Any] = {"sub": subjects.pop()}
    addresses = [_address(source) for source in sources if _has(source, "email")]
    if addresses:
        vouched = any(_has(source, "email") and _is_true(source.get("email_verified")) for source in sources)
        denied = any(not _is_true(source.get("email_verified", True)) for source in sources)
        is_verified = vouched and not denied and len(set(addresses)) == 1
        found |= {"email": addresses[0], "email_verified": is_verified}
    for name in NAMES:
        said = [_name(source[name], name) for source in sources if _has(source, name)]
        found |= {name: said[0]} if said else {}
    found |= {"nonce": _line(id_token, "nonce", NONCE_LENGTH)} if _has(id_token, "nonce") else {}
    # How the provider asked; which of these words mean what, says `second_factor`.
    if isinstance(said := id_token.get("amr"), list):
        found["amr"] = sorted({each for each in said if isinstance(each, str) and len(each) <= AMR_LENGTH})[:MOST_AMR]
    found |= {"auth_time": id_token["auth_time"]} if _is_moment(id_token.get("auth_time")) else {}
    return found


def roles_in(claim: str, known: Collection[str], *sources: Any) -> dict[str, list[str]]:
    """`roles`, those of `known` that the claim has in the first source that has it; empty where none does. `claim` is
    its name, or a path such as `realm_access.roles`. Raises Unusable for what is no text or list of texts."""
    for source in sources:
        said = _at(claim, source)
        if said is None:
            continue
        values = [said] if isinstance(said, str) else said
        if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
            raise Unusable(f"sent a claim that is no list of texts: {claim}.")
        return {"roles": sorted(set(known).intersection(values))}
    return {}


def _at(path: str, source: Any) -> Any:
    """A name may have dots itself, as those that are addresses have."""
    if not isinstance(source, dict) or path in source:
        return source.get(path) if isinstance(source, dict) else None
    head, _, rest = path.partition(".")
    return _at(rest, source.get(head)) if rest else None


def _refuse_foreign_address(told: dict[str, Any], domains: Collection[str] | None) -> None:
    """Else one provider could sign in as people of another. Raises Unusable."""
    if domains and "email" in told and told["email"].rpartition("@")[2] not in domains:
        raise Unusable("sent an address of a domain that it may not vouch for.")


def _has(source: dict[str, Any], name: str) -> bool:
    return source.get(name) not in (None, "")


def _is_true(value: Any) -> bool:
    """JSON's true, or the word, as some providers send it; "false" is a word as well."""
    return value is True or (isinstance(value, str) and value.lower() == "true")


def _is_moment(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53


def _subject(source: dict[str, Any]) -> str:
    """Text by the standard. Numbers are sent too, and accounts are kept under them."""
    value = source.get("sub")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64:
        return str(value)
    if not _has(source, "sub"):
        raise Unusable("did not identify you clearly.")
    return _line(source, "sub", app_settings.UID_MAX_LENGTH)


def _address(source: dict[str, Any]) -> str:
    """In lower case. Nothing may turn into another address by that: the Kelvin sign is a small k then."""
    given = _line(source, "email", ADDRESS_LENGTH)
    address = valid_email_or_none(given)
    if address is None or any(char.lower().isascii() and not char.isascii() for char in given):
        raise Unusable("sent an e-mail address that is none.")
    return str(address)


def _name(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Unusable(f"sent a claim that is no text: {name}.")
    return plain(value[: 10 * NAME_LENGTH])[:NAME_LENGTH].strip()


def _line(source: dict[str, Any], name: str, longest: int) -> str:
    """Text that is compared or kept as it is, so that nothing of it may be changed."""
    value = source[name]
    if not isinstance(value, str):
        raise Unusable(f"sent a claim that is no text: {name}.")
    if len(value) > longest:
        raise Unusable(f"sent a claim of {len(value)} characters, and at most {longest} can be used: {name}.")
    if not value.isprintable() or value != value.strip():
        raise Unusable(f"sent a claim with characters that cannot be used: {name}.")
    return value


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turns what an answer of another shape does to the code that reads it into Unusable."""
    try:
        yield
    except requests.RequestException:
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Unusable(f"sent {what} that cannot be read.") from error
