"""What on a host would decide in place of our drop-in how people log in over ssh."""

from __future__ import annotations

from typing import Iterable, Iterator, Tuple

from backend_server.access import sshd
from backend_server.access import sshd_live as daemon
from backend_server.host import HostReader


Rival = Tuple[str, str]  # what it is, and the command that takes it out of the way

_LISTS = ("allowusers", "allowgroups", "denyusers", "denygroups")


def rivals(
    host: HostReader, path: str, text: str, everybody: Iterable[sshd.Login]
) -> Iterator[Rival]:
    """Each line, and each option of the daemon, that stands in the way of TEXT.

    TEXT is what PATH will say; EVERYBODY must be able to log in afterwards.
    """
    everybody = tuple(everybody)
    if not sshd.includes_drop_ins(host.read):
        include = f"Include {sshd.DROP_INS}/*.conf"
        yield (
            f"{sshd.MAIN}: does not begin with `{include}`, so that nothing that is "
            "declared for sshd would be read",
            f"sed -i '1i {include}' {sshd.MAIN}",
        )
    ours = _for_all(path, text)
    yield from _left_out(ours, everybody)
    yield from _options(host, ours)
    before_ours = True
    for setting in _as_it_will_be(host, path, text):
        if setting.source == path:
            before_ours = False
        elif setting.match and before_ours:
            yield _away(setting, "is in a Match that comes before ours and wins")
        elif not setting.match:
            wanted = ours.get(setting.keyword, setting.value)
            if before_ours and setting.value.lower() != wanted.lower():
                yield _away(setting, f"comes first and wins; wanted {wanted}")
            yield from _shut_out(setting, everybody)


def logins(host: HostReader, names: Iterable[str]) -> Iterator[sshd.Login]:
    """The accounts of these names that are here, with their groups."""
    for name in names:
        if name in host.users():
            yield sshd.Login(name, host.groups_of(name))


def _away(setting: sshd.Setting, why: str) -> Rival:
    return f"{setting} {why}", f"sed -i '{setting.line}s/^/#/' {setting.source}"


def _for_all(path: str, text: str) -> dict[str, str]:
    """What our drop-in says for everybody."""
    texts = {sshd.MAIN: f"Include {path}", path: text}
    found = sshd.settings(texts.get, lambda folder: (path.rpartition("/")[2],))
    return {setting.keyword: setting.value for setting in found if not setting.match}


def _as_it_will_be(host: HostReader, path: str, text: str) -> Iterator[sshd.Setting]:
    """All settings in sshd's order, with our file as it is declared."""
    folder, _, name = path.rpartition("/")

    def read(file: str) -> str | None:
        return text if file == path else host.read(file)

    def names(place: str) -> tuple[str, ...]:
        found = host.names(place)
        return (*found, name) if place == folder and name not in found else found

    return sshd.settings(read, names)


def _left_out(ours: dict[str, str], everybody: Iterable[sshd.Login]) -> Iterator[Rival]:
    allowed = ours.get("allowgroups", "").split()
    for person in everybody:
        if allowed and not person.groups.intersection(allowed):
            yield (
                f"{person}: is in none of the groups that may log in over ssh "
                f"({' '.join(allowed)})",
                f"groupadd {person}; gpasswd --add {person} {person}",
            )


def _options(host: HostReader, ours: dict[str, str]) -> Iterator[Rival]:
    for option in daemon.options(host):
        keyword, _, value = option.replace("=", " ", 1).partition(" ")
        wanted = ours.get(keyword.lower(), value)
        if wanted.lower() != value.strip().lower() or keyword.lower() in _LISTS:
            yield (
                f"sshd was started with -o {option}, which counts more than any file; "
                f"wanted {wanted}: take it out, then systemctl restart ssh",
                f"grep -e {keyword} /etc/default/ssh /etc/systemd/system/ssh.service.d/*",
            )


def _shut_out(
    setting: sshd.Setting, everybody: Iterable[sshd.Login]
) -> Iterator[Rival]:
    if setting.keyword == "allowgroups":
        # sshd adds it to our own list, so that it lets in, and never shuts out.
        yield _away(setting, "lets in groups that no role here has")
    elif setting.keyword in _LISTS:
        out = [p.name for p in everybody if sshd.shuts_out(setting, p.name, p.groups)]
        if out:
            them = ", ".join(out)
            yield _away(setting, f"shuts out {them}, who must be able to log in")
