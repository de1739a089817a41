"""What a noun is written with: what each is, the host that it sees, what differs, and why not."""

from backend_server.engine.resource import AtPath, Resource
from backend_server.host import Host, HostReader
from backend_server.text.change import Change, Changes, Value, compare, counted, octal
from backend_server.text.errors import CommandFailed, OutsideWorld, Refused, UserError
