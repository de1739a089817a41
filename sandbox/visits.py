"""Coming back to hosts that were kept: what there is, a shell in one, a job for one."""

from __future__ import annotations

from typing import Sequence

from sandbox import doors, kept, trial, work
from sandbox.errors import CannotRun
from sandbox.kept import Kept


COMMAND = "sudo ./scripts/sandbox.sh"


def listed() -> str:
    """Every kept host, its state, and how to get in."""
    found = [line for host in kept.hosts() for line in described(host)]
    none = f"no host is kept; to keep one: {COMMAND} test --keep"
    return "\n".join(found) or none


def described(host: Kept) -> list[str]:
    """A host in some lines, each a command but the first."""
    state = host.state()
    up = state != "down"
    managed = up and host.managed()
    what = host.backend if managed or not up else f"bare, to become {host.backend}"
    lines = [f"{host.id}: {what}, {host.release}, {host.address}, {state}"]
    if managed:
        doors.hand_over(host.id)
        lines += [f"  {line}" for line in doors.lines(host.id, host.address)]
        lines += [f"  {COMMAND} --job {host.id}"] if not host.online else []
    if up:
        lines.append(f"  {COMMAND} --shell {host.id}")
    return [*lines, f"  {COMMAND} --remove {host.id}"]


def shell(name: str, command: Sequence[str]) -> int:
    """The exit status of a shell there, or of the command in place of one."""
    machine = kept.up(name).machine
    return trial.run_there(machine, command) if command else trial.shell(machine)


def job(name: str) -> str:
    """An account of a job that the host was given and has done."""
    host = kept.up(name)
    if host.online:
        raise CannotRun(f"{name} is online: its controller is the real one, not ours")
    if not work.expected(host):
        raise CannotRun(
            f"{name} has no job-runner; wanted a host that has become a backend with one",
            hint=f"{COMMAND} --shell {name}, and in it ./{host.backend}/manage.sh",
        )
    return work.do(host, host.controller(), host.backend)
