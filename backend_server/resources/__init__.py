"""The nouns that components are written in."""

from backend_server.resources.acl import Acl
from backend_server.resources.certificate import OwnCertificate
from backend_server.resources.daemon import DaemonJson
from backend_server.resources.desktop import RemoteDesktop
from backend_server.resources.directory import Directory
from backend_server.resources.dockerrules import DockerRules
from backend_server.resources.file import File, FileMode, Link, NoFile
from backend_server.resources.group import (
    Group,
    Members,
    NotMembers,
    RootEquivalent,
)
from backend_server.resources.held import Held
from backend_server.resources.hosts import HostsBlock
from backend_server.resources.keys import AuthorizedKeys, NoOtherKeys, OnlyTheseKeys
from backend_server.resources.leavers import Leavers
from backend_server.resources.mount import MountPoint
from backend_server.resources.network import DockerNetwork
from backend_server.resources.nft import NftTable
from backend_server.resources.operators import OperatorsFile
from backend_server.resources.package import NoPackages, PackageLists, Packages
from backend_server.resources.pam import PamProfile, SuOnlyFor
from backend_server.resources.proof import Proven
from backend_server.resources.resolver import NameServers
from backend_server.resources.revoked import RevokedKeys
from backend_server.resources.service import ContainerService
from backend_server.resources.setting import LoginDefs, NameSources
from backend_server.resources.sshd import SshdConfig
from backend_server.resources.sudoers import Sudoers
from backend_server.resources.sysctl import Sysctl
from backend_server.resources.unit import Automount, Masked, RootsSocket, Unit
from backend_server.resources.unitfile import UnitFile
from backend_server.resources.user import User


__all__ = [
    "Acl",
    "AuthorizedKeys",
    "Automount",
    "ContainerService",
    "DaemonJson",
    "Directory",
    "DockerNetwork",
    "DockerRules",
    "File",
    "FileMode",
    "Group",
    "Held",
    "HostsBlock",
    "Leavers",
    "Link",
    "LoginDefs",
    "Masked",
    "Members",
    "MountPoint",
    "NameServers",
    "NameSources",
    "NftTable",
    "NoFile",
    "NoOtherKeys",
    "NoPackages",
    "NotMembers",
    "OnlyTheseKeys",
    "OperatorsFile",
    "OwnCertificate",
    "PackageLists",
    "Packages",
    "PamProfile",
    "Proven",
    "RemoteDesktop",
    "RevokedKeys",
    "RootEquivalent",
    "RootsSocket",
    "SshdConfig",
    "SuOnlyFor",
    "Sudoers",
    "Sysctl",
    "Unit",
    "UnitFile",
    "User",
]
