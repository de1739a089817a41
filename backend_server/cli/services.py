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


class Verb(Named):
    """`action` is start, stop or restart, as it was typed."""

    action: str = ""


def tell(options: Verb, host: Host) -> int:
    """systemd was told, the history says so, and what was started has stayed up."""
    verb = options.action
    with lock.only_run(history.holder(host, f"service {verb}")):
        this = of_host_itself(options, host)
        what = states.known(this, options.subject)
        lacks = list(states.lacks(this, host, what))
        if lacks and verb != "stop":
            raise Refused(f"{what.name} cannot start\n" + "\n".join(lacks))
        outlive_terminal(options)
        done = "stopped" if verb == "stop" else f"{verb}ed"
        sentence = f"{what.name} was {done} by {history.who(host)}"
        of = (host, this.checkout, f"service {verb}", sentence)
        said = partial(notices.event, *of, subject=what.name)
        with meanwhile.on_trial(host, what.name, said=said):
            host.run("systemctl", verb, what.unit)
        if verb != "stop":
            states.prove(host, what)
    more = ", until a start, a run or a boot" if verb == "stop" else ""
    return _say(options, what.name, sentence + more)


class Change(Named):
    """Of the image; `yes` is the answer that somebody gave beforehand."""

    yes: bool = False


class ToImage(Change):
    to: str = ""
    keep: bool = False
    tag: str = "latest"


def update(options: ToImage, host: Host) -> int:
    """The service runs at another image, or at the one before where that does not stay up."""
    wanted = options.to or options.tag
    return _change(options, host, "service update", wanted, options.keep)


def rollback(options: Change, host: Host) -> int:
    """The service runs at the image before."""
    return _change(options, host, "service rollback")


class Follow(Named):
    by_timer: bool = False


def follow(options: Follow, host: Host) -> int:
    """As update, to what the tag means now; by hand also after a hold, and what went back."""
    this = of_host_itself(options, host)
    what = states.known(this, options.subject)
    if followed.over(followed.of(this, what.name)):
        _say(options, what.name, next(followed.degraded(this, host, what.name)))
        return DEGRADED
    first = [] if options.by_timer else [following.let_go(this, host, what.name)]
    found, done = following.due(this, host, what)
    if found:
        try:
            with lock.only_run(history.holder(host, following.HOW)):
                outlive_terminal(options)
                done = following.carry_out(this, host, what, found)
        except lock.Busy as busy:
            if not options.by_timer:
                raise
            done = str(busy)  # in 15 minutes is another look
    return told(options, {"subject": what.name, "done": done}, [*first, done])


class Hold(Named):
    why: str = ""


def hold(options: Hold, host: Host) -> int:
    """The service follows its tag no more, from this moment on."""
    this = of_host_itself(options, host)
    done = following.hold(this, host, options.subject, options.why)
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


class OfPage(Named):
    how: str | None = None


def certificate(options: OfPage, host: Host) -> int:
    """The page shows the certificate that comes on standard input with its key, or a later one."""
    from backend_server.airlock import renewal  # seldom needed, and slow

    this = of_host_itself(options, host)
    page = this.backend.airlock
    if not page or options.subject != "airlock":
        raise Refused(
            f"{options.subject!a} has no page here", "sudo backend service list"
        )
    text = "" if options.how or sys.stdin.isatty() else sys.stdin.read()
    if options.how == "renew":
        done = renewal.renew(this, host, page.name)
    elif "-----BEGIN" not in text:
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
