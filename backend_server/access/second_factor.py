"""A reviewer's second factor: a secret that their own device makes the code of the moment of."""

from __future__ import annotations

import base64
import secrets
from urllib.parse import quote, urlencode

from backend_server.access import pam_profiles
from backend_server.access.reviewers import refuse_others, reviewers
from backend_server.checkout import Backend, Site
from backend_server.host import Host, HostReader
from backend_server.text.errors import Refused


_BYTES = 20  # RFC 4226, section 4: as long as what is made of it
# Of google-authenticator(1): codes by the clock, each once, and those right before and after.
_SETTINGS = ('" TOTP_AUTH', '" WINDOW_SIZE 3', '" DISALLOW_REUSE')


def refuse(host: HostReader, backend: Backend, name: str) -> None:
    """Raise Refused where NAME needs no second factor on this backend."""
    if not backend.second_factor:
        hint = f"second_factor=True in {backend.name}/backend.py, and a run"
        raise Refused(f"{backend.name} asks nobody for a second factor", hint)
    refuse_others(host, backend, name)
    if host.stat(pam_profiles.SECRETS) is None:
        raise Refused("this host does not ask for a second factor yet", "sudo backend")


def give(host: Host, backend: Backend, name: str) -> str:
    """NAME has a new secret, and the one before holds no longer; the URI of the new one."""
    secret = base64.b32encode(secrets.token_bytes(_BYTES)).decode()
    text = "\n".join((secret, *_SETTINGS, ""))
    host.write(f"{pam_profiles.SECRETS}/{name}", text, 0o400)  # as the module leaves it
    issuer = f"OpenSAFELY {backend.name}"
    words = urlencode({"secret": secret, "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer)}:{quote(name)}?{words}"


def picture(host: Host, uri: str) -> str:
    """The URI as a QR code of characters, in colours that any terminal shows alike."""
    return host.run("qrencode", "--type=ANSIUTF8", "--output=-", stdin=uri)


def state(site: Site, host: HostReader, name: str) -> str | None:
    """`set` or `none yet`; None for whoever is not asked for one."""
    if not site.backend.second_factor or name not in reviewers(host):
        return None
    return "set" if host.stat(f"{pam_profiles.SECRETS}/{name}") else "none yet"


def without(site: Site, host: HostReader) -> list[str]:
    """Reviewers who cannot log in: they are asked for one, and have none."""
    return [n for n in reviewers(host) if state(site, host, n) == "none yet"]
