"""The configuration of xrdp and its session manager, for each version. Pure text."""

from __future__ import annotations

from string import Template

from backend_server.text import networks
from backend_server.text.releases import Xrdp
from backend_server.text.roles import REVIEWERS


INI = "/etc/xrdp/xrdp.ini"
SESMAN_INI = "/etc/xrdp/sesman.ini"
CERTIFICATE = "/etc/xrdp/opensafely.crt"
KEY = "/etc/xrdp/opensafely.key"
SESSION = "/etc/xdg/opensafely/session"
PORT = networks.DESKTOP_PORT

IDLE_S = 900  # then the screen is no longer sent anywhere; the session goes on
GONE_S = 4 * 60 * 60  # then a session that nobody came back to ends

# All that FreeRDP asks for has to be answered, or it goes away (`allow_channels`); each
# channel is off. One kind of session is left, and no name of a program that a client sends
# is started in its place.
_INI = Template("""\
; Written by backend-server.
[Globals]
ini_version=1
fork=true
port=tcp://$address:$port
use_vsock=false
tcp_nodelay=true
tcp_keepalive=true
security_layer=tls
crypt_level=high
certificate=$certificate
key_file=$key
ssl_protocols=TLSv1.2, TLSv1.3
autorun=Xorg
allow_channels=true
allow_multimon=true
bitmap_cache=true
bitmap_compression=true
bulk_compression=true
max_bpp=32
new_cursors=true
use_fastpath=both
ls_title=OpenSAFELY $name
ls_top_window_bg_color=24384f
ls_bg_color=f2f2f2
ls_logo_filename=
ls_width=350
ls_height=240
ls_label_x_pos=30
ls_label_width=65
ls_input_x_pos=110
ls_input_width=210
ls_input_y_pos=40
ls_btn_ok_x_pos=142
ls_btn_ok_y_pos=180
ls_btn_ok_width=85
ls_btn_ok_height=30
ls_btn_cancel_x_pos=237
ls_btn_cancel_y_pos=180
ls_btn_cancel_width=85
ls_btn_cancel_height=30

[Logging]
LogFile=xrdp.log
LogLevel=INFO
EnableSyslog=true
SyslogLevel=INFO

[Channels]
rdpdr=false
rdpsnd=false
drdynvc=false
cliprdr=false
rail=false
xrdpvr=false
tcutils=false

[Xorg]
name=Xorg
lib=libxup.so
username=ask
password=ask
ip=127.0.0.1
port=-1
code=20
""")

# `true` restricts everything in all versions; the word `all` means nothing to the older.
_SESMAN = Template("""\
; Written by backend-server.
[Globals]
$listen
EnableUserWindowManager=false
UserWindowManager=
DefaultWindowManager=$session
ReconnectScript=reconnectwm.sh

[Security]
AllowRootLogin=false
MaxLoginRetry=3
TerminalServerUsers=$group
TerminalServerAdmins=root
AlwaysGroupCheck=true
RestrictOutboundClipboard=true
RestrictInboundClipboard=true
AllowAlternateShell=false
XorgNoNewPrivileges=true

[Sessions]
X11DisplayOffset=10
MaxSessions=50
KillDisconnected=true
DisconnectedTimeLimit=$gone
IdleTimeLimit=$idle
Policy=Default

[Logging]
LogFile=xrdp-sesman.log
LogLevel=INFO
EnableSyslog=true
SyslogLevel=INFO

[Xorg]
param=/usr/lib/xorg/Xorg
param=-config
param=xrdp/xorg.conf
param=-noreset
param=-nolisten
param=tcp
param=-logfile
param=.xorgxrdp.%s.log

[Chansrv]
FuseMountName=thinclient_drives
EnableFuseMount=false
FileUmask=077

[SessionVariables]
""")
# A port that root alone can have: whoever has it is told the passwords of reviewers. In front of it
# is etc/systemd/system/opensafely-sesman.socket.
_TCP = "ListenAddress=127.0.0.1\nListenPort=335"
# In a folder of root's: see etc/systemd/system/xrdp-sesman.service.d/opensafely-apart.conf.
_SOCKET = "ListenPort=/run/opensafely-sesman/sesman.socket"


def ini(name: str, address: str) -> str:
    """xrdp.ini(5): TLS alone, at this address, and no channel."""
    return _INI.substitute(
        name=name, address=address, port=PORT, certificate=CERTIFICATE, key=KEY
    )


def sesman(version: Xrdp) -> str:
    """sesman.ini(5): reviewers alone, our session, and an end to it."""
    return _SESMAN.substitute(
        listen=_SOCKET if version.apart else _TCP,
        session=SESSION,
        group=REVIEWERS,
        gone=GONE_S,
        idle=IDLE_S,
    )
