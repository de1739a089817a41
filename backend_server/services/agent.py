"""What the job-runner's own log says of its tasks, and its connections of the controller's answers.

It never ends a task that errs: it ends itself, is started anew and tries again, until somebody
cancels the job. And it waits without end for an answer.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import Iterable, Iterator

from backend_server.engine import HostReader, history
from backend_server.text.frozen import Frozen


PAGE = "https://jobs.opensafely.org/jobs"
FRESH_S = 15  # an agent that ran so long has had an answer, or waits for one: all else ends it
_LINES = 3000  # of a loop with one job that errs, some minutes
_ALL_LINES = 200_000
_HANGS = 5  # so many loops without an answer, and it hangs
# `2026-11-29 12:00:00.123Z agnt task error task=7kqj2abc-001 task_type=RUNJOB`
_HEAD = r"^[\d-]{10} [\d:.]+Z \w+ (?P<says>.*)$"
_TASK = r"\btask=(?P<job>[\w-]+?)(-\d{3})?(-cancel)? task_type=\w+ *$"
_EXCEPTION = r"^(?:[a-z_]\w*\.)*[A-Z]\w*(?:: .*)?$"
_PREPARED = r"State change for job \S+: \S+ -> ExecutorState.PREPARED\b"
_UNKNOWN = r"unexpected keyword argument '(\w{1,60})'"
# `172.17.0.1 dev eth0 lladdr 02:42:…  ref 1 used 6/1/3probes 1 REACHABLE`: the second number,
# in seconds, since when the kernel knows that a word of ours got there.
_CONFIRMED = r"(?m)^(\S+) .* used \d+/(\d+)/\d+"
# read, recvfrom and recvmsg of syscalls(2), as x86_64 and arm64 count them.
_READS = [[number] for number in ["0", "45", "47", "63", "207", "212"]]
_WORKSPACE = r"\b[Ww]orkspace ([\w-]+)"


class Erring(Frozen):
    """A job whose task errs, each time it is tried."""

    job: str
    workspace: str  # empty: not known
    error: str
    since: str

    def __str__(self) -> str:
        of = f" of workspace {self.workspace}" if self.workspace else ""
        return (
            f"job {self.job}{of} errs since {self.since} and is tried again until "
            f"somebody cancels it at {PAGE}/{self.job}/: {self.error or 'see its log'}"
        )


class Seen(Frozen):
    """What errs, when it last had an answer, or for how long it has waited for one. 0: not known."""

    erring: tuple[Erring, ...] = ()
    answer: float = 0
    silent_s: float = 0


def said(text: str) -> list[tuple[float, str]]:
    """Of journalctl's JSON, a line each: when, in seconds of UTC, and what. Bytes are no text."""
    entries = (json.loads(line) for line in text.splitlines())
    texts = (each for each in entries if isinstance(each.get("MESSAGE"), str))
    return [(int(e["__REALTIME_TIMESTAMP"]) / 1e6, e["MESSAGE"]) for e in texts]


def connections(text: str) -> dict[str, tuple[float, float]]:
    """Seconds since each heard and said a word, by its own end, of `ss --oneline --info`.

    None that ss does not know.
    """
    last = re.compile(r"\b(rto|lastrcv|lastsnd):(\d+)")  # what is 0 is left out
    found = {line.split()[2]: dict(last.findall(line)) for line in text.splitlines()}
    return {
        end: (int(e.get("lastrcv", 0)) / 1e3, int(e.get("lastsnd", 0)) / 1e3)
        for end, e in found.items()
        if "rto" in e
    }


def runs(lines: Iterable[tuple[float, str]]) -> list[dict[str, Erring]]:
    """What erred after each start, by job, of lines with their times; what cannot be read did not."""
    found: list[dict[str, Erring]] = [{}]
    job = ""
    for at, line in lines:
        head = re.match(_HEAD, line)
        if head:
            task = re.search(_TASK, head["says"])
            job = task["job"] if task and head["says"].startswith("task error") else ""
            if job:
                found[-1][job] = Erring(job, "", "", history.at(at))
            elif "agent.main loop started" in head["says"]:
                found.append({})
        elif job and re.match(_EXCEPTION, line) and "Some tasks failed" not in line:
            found[-1][job] = _named(found[-1][job], line)
    return found


def _named(found: Erring, line: str) -> Erring:
    """Of a traceback's last line. Names in it are other people's."""
    error = plain(line)
    workspace = re.search(_WORKSPACE, error)
    return found._replace(error=error, workspace=workspace[1] if workspace else "")


def why_ended(lines: list[str]) -> str:
    """The last line of what a program said, which of a traceback is its error."""
    errors = [line for line in lines if re.match(_EXCEPTION, line)]
    return (errors or lines or [""])[-1]


def plain(text: str) -> str:
    """Somebody else's words, without what they would do to a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def erring(found: list[dict[str, Erring]], up: bool) -> tuple[Erring, ...]:
    """What errs now, since its first time in these runs; UP: the last one has not ended."""
    now = found[-1] or (found[-2] if up and len(found) > 1 else {})
    first = {name: each for run in reversed(found) for name, each in run.items()}
    return tuple(e._replace(since=first[name].since) for name, e in now.items())


def look(host: HostReader, name: str, up_s: float, *every_s: float) -> Seen:
    """Of an agent that asks every so often, and by a second thread as well."""
    if up_s >= FRESH_S:
        pid, found = _connected(host, name)
        known = _wires(host, pid, found).values()
        wires = [(min(heard, up_s), min(said, up_s)) for heard, said in known]
        silent = silent_s([*wires, *in_vain(host, found)], *every_s)
        ago = min((heard for heard, _ in wires), default=up_s)
        answer = 0 if silent or ago == up_s else time.time() - ago
        return Seen(answer=answer, silent_s=silent)
    lines = _log(host, name)
    # It knows of tasks from an answer alone.
    answers = [
        at for at, line in lines if re.match(_HEAD, line) and re.search(_TASK, line)
    ]
    return Seen(erring(runs(lines), up_s > 0), max(answers, default=0))


def _connected(host: HostReader, name: str) -> tuple[int, str]:
    """The first process of a container, 0 where it does not run, and its connections."""
    pid: int = host.docker_object(name).get("State", {}).get("Pid") or 0
    return pid, host.tcp_connections(pid) if pid else ""


def in_vain(host: HostReader, found: str) -> Iterator[tuple[float, float]]:
    """Seconds since each connection heard and said a word, where a thread sleeps until it hears.

    A handshake's last words are the other side's, and no answer to what is asked then.
    """
    for line in found.splitlines():
        for holder, fd in re.findall(r"pid=(\d+),fd=(\d+)", line):
            for thread in host.names(f"/proc/{holder}/task"):
                if _reads(host, f"/proc/{holder}/task/{thread}", int(fd)):
                    last = map(min, connections(line).values())
                    yield from ((ago + 0.001, ago) for ago in last)  # nothing since


def _reads(host: HostReader, thread: str, fd: int) -> bool:
    """Whether a thread sleeps until something comes at a descriptor."""
    with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
        call = (host.read(f"{thread}/syscall") or "").split()
        return call[:1] in _READS and call[1:2] == [hex(fd)]
    return False


def _wires(host: HostReader, pid: int, found: str) -> dict[str, tuple[float, float]]:
    """Seconds as of `connections`; where it has none, since a word of it last got through."""
    if not pid:
        return {}
    # A controller that hangs up after each answer leaves none to look at.
    return connections(found) or {
        f"{pid} {at}": (float(ago), float(ago))
        for at, ago in re.findall(_CONFIRMED, host.neighbours(pid))
        or [("", float("inf"))]
    }


def unanswered(host: HostReader, name: str, loop_s: float) -> str:
    """Why no poll of an agent that is up counts as answered; empty: one was.

    Over a connection it asks anew after an answer alone, and to shake hands takes no loop.
    """
    patience_s = _HANGS * (loop_s + 1)
    first: dict[str, float] = {}
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        for end, (_, said) in _wires(host, *_connected(host, name)).items():
            asked = time.monotonic() - said
            if asked > first.setdefault(end, asked) + loop_s / 2 + 1:
                return ""
        time.sleep(loop_s / 4)
    return f"no poll of it was answered in {patience_s:.0f} s"


def prepared(host: HostReader, name: str, since: float) -> bool:
    """Whether it made the files of a job ready since then."""
    return any(re.search(_PREPARED, line) for _, line in _log(host, name, since))


def unknown_field(*texts: str) -> str:
    """What an agent that is older than its controller choked on; empty: nothing."""
    found = (re.search(_UNKNOWN, text) for text in texts)
    return next((match[1] for match in found if match), "")


def _log(host: HostReader, name: str, since: float = 0) -> list[tuple[float, str]]:
    return said(host.container_said(name, _LINES, since))


def about(host: HostReader, name: str, job: str) -> Iterator[str]:
    """What it said of a job, by any part of its id, with what belongs to each line."""
    shown = False
    for _, line in said(host.container_said(name, _ALL_LINES, 0)):
        shown = job in line if re.match(_HEAD, line) else shown
        if shown:
            yield line


def errs(host: HostReader, name: str, since: float = 0) -> dict[str, Erring]:
    """What erred, by job, as far as the log goes back."""
    found = reversed(runs(_log(host, name, since)))
    return {job: each for run in found for job, each in run.items()}


def only_jobs_err(host: HostReader, name: str, since: float) -> bool:
    """Whether each start since then had an answer, and ended for nothing but a job that errs."""
    ended = runs(_log(host, name, since))[1:-1]
    return bool(ended) and all(ended)


def silent_s(wires: list[tuple[float, float]], loop_s: float, other_s: float) -> float:
    """For how long it has waited for an answer; 0: it does not hang.

    Of seconds since each connection heard, and said, a word. A second thread asks every OTHER_S,
    also while the first is at something that lasts.
    """
    waits = [heard for heard, said in wires if _HANGS * loop_s <= said < heard]
    # A word now and then is no answer.
    waits += [said for heard, said in wires if said - heard >= _HANGS * loop_s]
    quiet = min((heard for heard, _ in wires), default=0.0)
    if quiet >= max(_HANGS * loop_s, 2 * other_s):
        waits.append(quiet)
    return max(waits, default=0.0)
