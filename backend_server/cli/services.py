"""service …: what runs in containers here, and at which image."""

from __future__ import annotations

import sys
from functools import partial

from backend_server.cli.ending import Logs, become, outlive_terminal, passed_on, told
from backend_server.engine import history, lock, notices
from backend_server.host import Host, HostReader, command
from backend_server.run.place import Asked, Named, load, of_host_itself, services_of
from backend_server.services import environment as host_environment
from backend_server.services import followed, following, meanwhile, states, updating
from backend_server.text.errors import DEGRADED, OK, OutsideWorld, Refused


def list_services(options: Asked, host: HostReader) -> int:
    """Each service: its state, its image, and what it lacks."""
    this = of_host_itself(options, host)
    found = states.states(this, host)
    sentences = list(states.degraded(this, host, found))
    data = {"services": [*map(states.noted, found)], "degraded": sentences}
    lines = [line for each in found for line in states.lines(each)]
    told(options, data, [*lines, *(f"degraded: {each}" for each in sentences)])
    return DEGRADED if sentences else OK


def logs(options: Logs, host: HostReader) -> int:
    """What the service, and systemd about it, says in the journal."""
    what = states.known(of_host_itself(options, host), options.subject)
    of_all = (f"CONTAINER_NAME={what.name}", "+", f"_SYSTEMD_UNIT={what.unit}")
    how = ("--follow",) if options.follow else ("--lines=1000",)
    argv = ("journalctl", *how, *of_all, "+", f"UNIT={what.unit}")
    return passed_on(options, options.follow, *argv)


def shell(options: Named, host: HostReader) -> int:
    """A shell in the container, as the account that the service runs as."""
    what = states.known(of_host_itself(options, host), options.subject)
    if not host.docker_object(what.name).get("State", {}).get("Running"):
        hint = f"sudo backend service start {what.name}"
        raise Refused(f"{what.name} does not run now", hint)
    if not sys.stdin.isatty():
        hint = f"sudo backend service logs {what.name}"
        raise Refused("a shell needs a terminal, and this is none", hint)
    become(options, "docker", "exec", "-it", what.name, *command.SHELL)


def tell(options: Named, host: Host, *, action: str = "") -> int:
    """systemd was told to start, stop or restart; what was started has stayed up."""
    with lock.only_run(history.holder(host, f"service {action}")):
        this = of_host_itself(options, host)
        what = states.known(this, options.subject)
        lacks = list(states.lacks(this, host, what))
        if lacks and action != "stop":
            raise Refused(f"{what.name} cannot start\n" + "\n".join(lacks))
        outlive_terminal(options)
        done = "stopped" if action == "stop" else f"{action}ed"
        sentence = f"{what.name} was {done} by {history.who(host)}"
        of = (host, this.checkout, f"service {action}", sentence)
        said = partial(notices.event, *of, subject=what.name)
        with meanwhile.on_trial(host, what.name, said=said):
            host.run("systemctl", action, what.unit)
        if action != "stop":
            states.prove(host, what)
    more = ", until a start, a run or a boot" if action == "stop" else ""
    return _say(options, what.name, sentence + more)


class Change(Named):
    """Of the image; `yes` is the answer that somebody gave beforehand."""

    yes: bool = False


def update(
    options: Change,
    host: Host,
    *,
    to: str = "",
    tag: str = "latest",
    keep: bool = False,
) -> int:
    """The service runs at another image, or at the one before where that does not stay up."""
    return _change(options, host, "service update", to or tag, keep)


def rollback(options: Change, host: Host) -> int:
    """The service runs at the image before."""
    return _change(options, host, "service rollback")


def follow(options: Named, host: Host, *, by_timer: bool = False) -> int:
    """As update, to what the tag means now; by hand also after a hold, and what went back."""
    this = of_host_itself(options, host)
    what = states.known(this, options.subject)
    if followed.over(followed.of(this, what.name)):
        _say(options, what.name, next(followed.degraded(this, host, what.name)))
        return DEGRADED
    first = [] if by_timer else [following.let_go(this, host, what.name)]
    found, done = following.due(this, host, what)
    if found:
        try:
            with lock.only_run(history.holder(host, following.HOW)):
                outlive_terminal(options)
                done = following.carry_out(this, host, what, found)
        except lock.Busy as busy:
            if not by_timer:
                raise
            done = str(busy)  # in 15 minutes is another look
    return told(options, {"subject": what.name, "done": done}, [*first, done])


def hold(options: Named, host: Host, *, why: str = "") -> int:
    """The service follows its tag no more, from this moment on."""
    this = of_host_itself(options, host)
    done = following.hold(this, host, options.subject, why)
    return _say(options, options.subject, done)


def _change(
    options: Change, host: Host, how: str, wanted: str | None = None, keep: bool = False
) -> int:
    """To what is WANTED, a digest or a tag, or back. If it follows another tag, then no more."""
    with lock.only_run(history.holder(host, how)):
        this = of_host_itself(options, host)
        what = states.known(this, options.subject)
        of = (this, host, what)
        found = updating.back(*of) if wanted is None else updating.find(*of, wanted)
        tag = getattr(followed.exception(this, what.name), "tag", wanted)
        hold = bool if tag == wanted else partial(followed.hold, host, what.name, how)
        if found.before == found.after:
            done, up = f"{what.name} runs at {found.after} already", True
            hold()
        else:
            updating.agree(what, found, options.yes)
            outlive_terminal(options)
            done, up = updating.carry_out(*of, found, how, keep, also=hold)
        if tag != wanted:
            done += f"; it follows {tag} no more, until: service follow {what.name}"
    _say(options, what.name, done)
    return OK if up else DEGRADED


def certificate(options: Named, host: Host, *, how: str = "") -> int:
    """The page shows the certificate that comes on standard input with its key, or a later one."""
    from backend_server.airlock import renewal  # seldom needed, and slow

    this = of_host_itself(options, host)
    page = this.backend.airlock
    if not page or options.subject != "airlock":
        raise Refused(
            f"{options.subject!a} has no page here", "sudo backend service list"
        )
    text = "" if how or sys.stdin.isatty() else sys.stdin.read()
    if how == "renew":
        done = renewal.renew(this, host, page.name)
    elif not ("PRIVATE KEY-----" in text and "-----BEGIN CERTIFICATE" in text):
        raise Refused(
            "wanted the key, the certificate and its chain on standard input",
            hint=f"sudo backend service certificate airlock < {page.name}.pem",
        )
    else:
        with lock.only_run(f"service certificate by {history.who(host)}"):
            said = partial(notices.event, host, this.checkout, "service certificate")
            done = renewal.put(host, page.name, text, said)
    return _say(options, options.subject, done)


def environment(options: Named, host: Host) -> int:
    """For the unit: what the container is started with lies ready. 4: it may not start."""
    backend = load(options.backend, options.checkout)
    for what in services_of(backend):
        if what.name == options.subject:
            found = host_environment.now(host, what.secrets, what.others)
            lacks = ", ".join([*map(str, found.problems), *found.missing])
            if lacks:
                raise OutsideWorld(f"{what.name} is not started: it lacks {lacks}")
            host_environment.lay(host, what.name, found)
            return told(options, {"subject": what.name}, ())
    raise Refused(f"there is no service {options.subject!a}")


def _say(options: Asked, name: str, sentence: str) -> int:
    return told(options, {"subject": name, "done": sentence}, [sentence])
