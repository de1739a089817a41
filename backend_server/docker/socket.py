"""The way to docker, which is a way to root."""

from __future__ import annotations

import stat

from backend_server.engine.resource import AtPath
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.acl import ACCESS
from backend_server.text.change import Changes, compare, octal
from backend_server.text.roles import DOCKER


class DockerSocket(AtPath):
    """docker's own socket answers root and its group, however it was made; where one is there."""

    access: str = f"0660 root:{DOCKER}"

    def check(self, host: HostReader) -> Changes:
        at = host.stat(self.path)
        if at is None:
            return ()
        owners = f"{host.user_name(at.st_uid)}:{host.group_name(at.st_gid)}"
        found = f"{octal(stat.S_IMODE(at.st_mode))} {owners}"
        found += " and a list" if host.acl(self.path, ACCESS) else ""
        return compare(access=(found, self.access))

    def apply(self, host: Host, changes: Changes) -> None:
        host.run("setfacl", "--remove-all", self.path)
        for program, to in zip(("chmod", "chown"), self.access.split()):
            host.run(program, to, self.path)
