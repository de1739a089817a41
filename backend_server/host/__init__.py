"""A machine: `HostReader` looks at it, `Host` also changes it."""

from backend_server.host.reader import HostReader
from backend_server.host.writer import Host
