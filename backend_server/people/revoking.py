"""Shutting an account or a key out of this host now, and letting it back in."""

from __future__ import annotations

import contextlib
import re
from typing import Callable, Iterator

from backend_server.access.revoked_keys import RevokedKeys
from backend_server.access.sshd import REVOKED_KEYS
from backend_server.checkout.backend import Backend
from backend_server.checkout.gather import Site, everybody, without
from backend_server.checkout.keys import KEY_FOLDER, Keys, in_text
from backend_server.engine import Refused, UserError, counted, history, lock
from backend_server.host import Host, HostReader, revoked
from backend_server.host.revoked import Revocation
from backend_server.people import applied, doors, guard
from backend_server.people.authorized_keys import NoOtherKeys
from backend_server.people.keyring import held, remembered, with_keys
from backend_server.text.roles import MARKER


LOCK = "/run/opensafely/revoked.lock"  # its own: a run that hangs holds nobody up
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def judged(host: Host, backend: Backend, subject: str, why: str) -> Revocation:
    """What may be done now: nothing has been yet.

    Raises Refused where too few developers would be left, or it would be whoever asks for it.
    """
    if not (why.strip() and why.isprintable()):  # others read it on their terminals
        raise Refused(
            "the reason is empty, or is not one line of what can be seen",
            hint=f"sudo backend people revoke {subject} --why 'a laptop was stolen'",
        )
    site = _applied(host, backend)
    keys = _keys_meant(host, site, subject)
    names, shut = revoked.names(host) | {subject}, revoked.fingerprints(host) | keys
    left = with_keys(without(site, names, shut), remembered(host), shut)
    guard.enough_remain(left, host, enough=1)
    who = history.who(host)
    return Revocation(subject, tuple(sorted(keys)), history.now(), who, why)


def revoke(host: Host, entry: Revocation) -> Iterator[tuple[str, str]]:
    """Each door and what was open there, when it is shut; all of them stay shut.

    The list is written first, so that a run which goes on meanwhile opens none again. Where this
    process dies, systemd has the rest done at once: it is told while the list is written.
    """
    subject, keys = entry.subject, counted(len(entry.fingerprints), "key")
    holder = f"people revoke {subject} by {entry.who}, since {entry.when}"
    with lock.only_run(holder, LOCK, wait=True):
        late = contextlib.suppress(UserError)  # then the timer comes
        with late, lock.then_starts("opensafely-people.service", LOCK):
            unwritten = _write_down(host, entry)
        yield "sshd", unwritten or f"refuses {keys}, anywhere here"
        said, hint = (
            f"{subject} is out now",
            "df -h /etc /run; df -i /etc /run; sudo backend status",
        )
        try:
            if _FINGERPRINT.fullmatch(subject):
                yield from _shut_key_out(host, subject)
            else:
                yield from doors.shut_out(host, subject)
        except UserError as error:
            if not unwritten:
                raise
            said, hint = str(error), error.hint
    if unwritten:
        raise UserError(
            f"{said}; it could not be written down ({unwritten}): the next run would "
            "let it in again",
            hint=hint,
        )


def _write_down(host: Host, entry: Revocation) -> str:
    """The list says so, and sshd has it; why not, where the disk is full."""
    try:
        listed = revoked.listed(host)
        others = [e for e in listed if e.subject != entry.subject]
        for before in (e for e in listed if e not in others):  # still says why
            keys = {*before.fingerprints, *entry.fingerprints}
            entry = before._replace(fingerprints=tuple(sorted(keys)))
        revoked.write(host, (*others, entry))
        RevokedKeys(REVOKED_KEYS).apply(host, ())
    except (OSError, UserError) as error:
        return getattr(error, "strerror", "") or str(error)
    return ""


def _shut_key_out(host: Host, key: str) -> Iterator[tuple[str, str]]:
    """Nobody can tell which key a session was opened with: all of the account's end."""
    for name in host.names(KEY_FOLDER):
        keys = frozenset(_in_force(host, name))
        left = frozenset(k for k in keys if k.fingerprint != key)
        if left != keys:
            NoOtherKeys(name, left).apply(host, ())
            yield f"keys of {name}", "the key is gone"
            yield f"sessions of {name}", doors.end_sessions(host, name)


def readmit(host: Host, subject: str, begun: Callable[[], object] = bool) -> None:
    """Nothing here keeps it out any more; the next run gives back what the rosters say.

    BEGUN is called when nothing is left to refuse.
    """
    with lock.only_run("people readmit", LOCK, wait=True):
        entries = revoked.listed(host)
        left = tuple(entry for entry in entries if entry.subject != subject)
        if left == entries:
            who = ", ".join(entry.subject for entry in entries) or "nobody"
            raise Refused(
                f"{subject} is not revoked on this host; these are: {who}",
                hint="sudo backend people list",
            )
        begun()
        revoked.write(host, left)
        RevokedKeys(REVOKED_KEYS).apply(host, ())


def _applied(host: HostReader, backend: Backend) -> Site:
    site = applied.read(host, backend)
    if site is None:
        raise Refused(
            "no run has ended here yet, so nobody knows who would be left",
            hint=f"sudo ./{backend.name}/manage.sh",
        )
    return site


def _keys_meant(host: HostReader, site: Site, subject: str) -> frozenset[str]:
    """The fingerprint itself, or those of an account of ours, from wherever they are known."""
    if subject.startswith("SHA256:"):
        if not _FINGERPRINT.fullmatch(subject):
            raise Refused(
                f"{subject!a} is no fingerprint; wanted SHA256: and 43 characters",
                hint="sudo backend people who USER; ssh-keygen -l -f FILE",
            )
        return frozenset({subject})
    # glibc may pass over the line of the account, or of the group that says it is ours.
    if subject not in host.members(MARKER) | everybody(site.people):
        raise Refused(
            f"{subject!a} is no account of ours on this host; the key of a provider's account "
            "is revoked by its fingerprint",
            hint="sudo backend people list",
        )
    found = {*_in_force(host, subject), *site.keys.get(subject, ())}
    record = held(host)
    if subject in record:
        found.update(record[subject].keys)
    before = (e.fingerprints for e in revoked.listed(host) if e.subject == subject)
    return frozenset(key.fingerprint for key in found).union(*before)


def _in_force(host: HostReader, name: str) -> Keys:
    return in_text(host.read(f"{KEY_FOLDER}/{name}") or "")
