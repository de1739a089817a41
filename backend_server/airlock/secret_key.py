"""A secret that nobody needs to know."""

from __future__ import annotations

import os

from backend_server.checkout import env
from backend_server.checkout.service import SECRETS
from backend_server.engine.resource import Resource
from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
from backend_server.text.change import Changes, compare


class SecretKey(Resource):
    """This name has a value in 02_secrets.env. Made here where it has none, it then stays."""

    name: str
    state: str = "set"

    def check(self, host: HostReader) -> Changes:
        there = env.parse("", host.read(SECRETS) or "")[0].get(self.name)
        return () if there else compare(state=(None, self.state))

    def apply(self, host: Host, changes: Changes) -> None:
        text = host.read(SECRETS) or ""
        host.write(SECRETS, env.assigned(text, self.name, os.urandom(48).hex()), 0o600)
