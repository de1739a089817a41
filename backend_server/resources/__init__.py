"""The nouns that more than one capability is written in."""

from backend_server.engine.resource import Resource
from backend_server.resources.directory import Acl, Directory
from backend_server.resources.file import UNITS, File, FileMode, NoFile, UnitFile
from backend_server.resources.group import Group, Members, NotMembers, RootEquivalent
from backend_server.resources.operators import OperatorsFile, SecretKey
from backend_server.resources.package import Held, NoPackages, Packages
from backend_server.resources.pam import PamProfile
from backend_server.resources.unit import Masked, Unit
from backend_server.resources.user import User
