"""service secrets: which there are, and setting one, of services and of the share."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import Iterator

from backend_server.checkout import Site, env
from backend_server.checkout.service import SECRETS, Service
from backend_server.cli.ending import outlive_terminal, say_lines, told
from backend_server.engine import history, lock, notices
from backend_server.host import Host, HostReader, question
from backend_server.outputs import credentials
from backend_server.resources import UNITS
from backend_server.run.backends import declare
from backend_server.run.place import Named, of_host_itself
from backend_server.services import environment, meanwhile, states, switching
from backend_server.services.container_service import ContainerService
from backend_server.services.meanwhile import Said
from backend_server.text.errors import OK, Refused


_SET = "secret set"  # in the history


def secrets(options: Named, host: Host, *, secret: str = "") -> int:
    """Names, whether set, and since when; with `set NAME` one of them gets a value."""
    if (options.subject, bool(secret)) == ("set", True):
        return _set(options, host, secret)
    if options.subject:
        hint = "sudo backend service secrets set NAME"
        raise Refused(f"found {options.subject!a}; wanted nothing, or set NAME", hint)
    found = list(listed(of_host_itself(options, host), host))
    return told(options, {"secrets": found}, map(_line, found))


def listed(this: Site, host: HostReader) -> Iterator[dict[str, object]]:
    """Every secret that a service or the share here needs; no value."""
    file = host.stat(SECRETS)
    dates = dict(_dates(host))
    changed = time.strftime("%Y-%m-%d", time.gmtime(file.st_mtime)) if file else None
    if this.backend.share:
        name = credentials.SECRET
        there = credentials.is_set(host.read(credentials.FILE))
        yield _found(name, "outputs", there, dates.get(name))
    for what in this.services:
        missing = environment.now(host, what.secrets).missing
        for name in what.secrets:
            date = dates.get(name, changed)
            yield _found(name, what.name, name not in missing, date)


def _found(name: str, service: str, there: bool, date: str | None) -> dict[str, object]:
    found = {"name": name, "service": service, "needed": True, "set": there}
    return {**found, "date": date if there else None}


def _dates(host: HostReader) -> Iterator[tuple[str, str]]:
    """The day that each was last set by a command, oldest first."""
    for entry in reversed(list(history.entries(host))):
        if entry.get("event") == _SET:
            yield str(entry.get("subject")), str(entry.get("began"))[:10]


def _line(found: dict[str, object]) -> str:
    state = f"set {found['date']}" if found["set"] else "missing"
    return f"{found['service']:<12} {found['name']:<28} {state}"


def _set(options: Named, host: Host, name: str) -> int:
    """The file says it in one line; other lines stay. What needed it is started or restarted."""
    this = of_host_itself(options, host)
    path = _file(this, host, name)
    value = question.secret(name)
    with lock.only_run(history.holder(host, "service secrets set")):
        text = _text(host, path, name, value)
        outlive_terminal(options)
        takes = [w for w in this.services if name in w.secrets]
        said = f"{history.who(host)} has set {name}"
        told_of = partial(notices.event, host, this.checkout, _SET, said, subject=name)
        run = [*_written(this, host, path, text, takes, told_of)]
        run += _started(this, host, takes)
        if name == credentials.SECRET and this.backend.share:
            # Mounted, it knows the old one only: the next push mounts it anew.
            host.run("systemctl", "stop", "--no-block", this.backend.share.mount)
    with_it = [f"{each} runs with it" for each in dict.fromkeys(run)]
    done = "; ".join([f"{name} is set", *with_it])
    told(options, {"subject": name, "done": done}, [done])
    say_lines(states.degraded(this, host), sys.stderr)
    return OK


def _file(this: Site, host: HostReader, name: str) -> str:
    """Where it is kept. Raises Refused where nothing here takes it, or that is not there yet."""
    names = [str(each["name"]) for each in listed(this, host)]
    if name not in names:
        raise Refused(f"{name!a} is no secret here", f"choose from {', '.join(names)}")
    path = credentials.FILE if name == credentials.SECRET else SECRETS
    if host.read(path) is None:
        raise Refused(f"there is no {path} yet", hint="sudo backend")
    return path


def _text(host: Host, path: str, name: str, value: str) -> str:
    """What the file says with it. Raises Refused where it cannot hold that, or be written."""
    host.refuse_unwritable(path, 0o600)
    try:
        if path == credentials.FILE:
            return credentials.text(value)
        return env.assigned(host.read(path) or "", name, value)
    except ValueError as error:
        raise Refused(f"the value of {name} was not taken: {error}") from None


def _written(
    this: Site, host: Host, path: str, text: str, takes: list[Service], said: Said
) -> Iterator[str]:
    """The file says so, and of these services those that run now run with it; or all is as before."""
    runs = [what for what in takes if switching.running_s(host.unit(what.unit))]
    starts = []
    with meanwhile.on_trial(host, path, *(what.name for what in runs), said=said):
        host.write(path, text, 0o600)
        for what in runs:
            lacks = any(states.lacks(this, host, what))
            of = (what.name, what.secrets, what.others)
            if environment.differing(host, *of) and not lacks:
                host.run("systemctl", "restart", what.unit)
                starts.append((what, switching.started(host, what.name)))
    for what, start in starts:
        switching.steady(host, what.name, what.steady_s, start)
        yield what.name


def _started(this: Site, host: Host, takes: list[Service]) -> Iterator[str]:
    """Of these, those that lacked it: they run now, if they are here and lack nothing else."""
    here = [what for what in takes if host.stat(f"{UNITS}/{what.unit}")]
    names = [what.name for what in here if not any(states.lacks(this, host, what))]
    for resource in (each for part in declare(this) for each in part.resources):
        if isinstance(resource, ContainerService) and resource.name in names:
            changes = resource.check(host)
            if changes:
                resource.apply(host, changes)
                yield resource.name
