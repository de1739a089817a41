"""The nouns that more than one capability is written in."""

from backend_server.resources.directory import Acl as Acl
from backend_server.resources.directory import Directory as Directory
from backend_server.resources.file import File as File
from backend_server.resources.file import FileMode as FileMode
from backend_server.resources.file import NoFile as NoFile
from backend_server.resources.group import Group as Group
from backend_server.resources.group import Members as Members
from backend_server.resources.group import NotMembers as NotMembers
from backend_server.resources.group import RootEquivalent as RootEquivalent
from backend_server.resources.operators import OperatorsFile as OperatorsFile
from backend_server.resources.package import Held as Held
from backend_server.resources.package import NoPackages as NoPackages
from backend_server.resources.package import Packages as Packages
from backend_server.resources.pam import PamProfile as PamProfile
from backend_server.resources.unit import Masked as Masked
from backend_server.resources.unit import Unit as Unit
from backend_server.resources.unitfile import UNITS as UNITS
from backend_server.resources.unitfile import UnitFile as UnitFile
from backend_server.resources.unitfile import timed as timed
from backend_server.resources.user import User as User
