"""Who is let onto the remote desktop, for what operators give to one of them."""

from __future__ import annotations

from backend_server.checkout.backend import Backend
from backend_server.host import HostReader, revoked
from backend_server.text.errors import Refused
from backend_server.text.roles import MARKER, REVIEWERS


def reviewers(host: HostReader) -> list[str]:
    """Accounts of ours in the group that the remote desktop asks for."""
    ours = host.members(MARKER) & host.members(REVIEWERS)
    return sorted(ours.intersection(host.users()))


def refuse_others(host: HostReader, backend: Backend, name: str) -> None:
    """Raise Refused where NAME does not come to this backend by remote desktop."""
    if name in revoked.names(host):
        hint = f"sudo backend people readmit {name}"
        raise Refused(f"{name} is revoked on this host", hint=hint)
    ours = reviewers(host)
    if name not in ours:
        raise Refused(
            f"{name!a} is no reviewer on this host; these are: "
            f"{', '.join(ours) or 'nobody'}",
            hint=f"a line on {backend.name}/reviewers and a run make somebody one",
        )
