"""What a reviewer on the remote desktop can speak to besides their own processes, and why that is no way out.

The tests try everything that is there: what is missing here fails them. Whoever adds a line
answers for it: what listens there must send nothing on, and ask the network nothing, for
somebody else.
"""

# Paths of unix sockets, and abstract names with their @, as patterns.
SOCKETS = {
    "/run/opensafely-airlock.socket": "their window's way to Airlock's page, and to nothing else",
    "/run/dbus/system_bus_socket": "the bus, which hands on to BUS_NAMES alone",
    "@[0-9a-f]{5}": "one that dockerd writes to init from; the kernel named it, nobody reads it",
    # On Debian 13 besides:
    "/run/systemd/io.systemd.Hostname": "the host's name, which root alone can set",
    "/run/systemd/io.systemd.Credentials": "encrypts on this host, for this host",
    "/run/systemd/netif/io.systemd.Network": "which links are up; takes no requests",
}

# Well-known names on the system bus.
BUS_NAMES = {
    "org.freedesktop.DBus": "the bus itself: without it nobody is on it",
    "org.freedesktop.login1": "logind, which tells the screen lock when to lock",
}

# Programs that are set-id or have capabilities: why they are no way out, and arguments with which
# each is tried, of a word, a name and an address that would be seen on the wire. What opens a
# socket as root for whoever starts it would be a way, for a packet is its sender's by the account
# that opened the socket. Root's own, but the last, are shut to who has no sudo.
PRIVILEGED = {
    "/usr/bin/chage": ("reads the caller's own line of shadow", ["-l {word}"]),
    "/usr/bin/crontab": (
        "the caller's own jobs, which run with their uid",
        ["-u {word} -l", "//{address}/{word}"],
    ),
    "/usr/bin/expiry": ("reads the caller's own line of shadow", ["-f"]),
    "/usr/bin/ssh-agent": (
        "set-group-id so that nobody traces it; listens for its owner",
        ["-t 1 getent hosts {name}", "-a /tmp/{word} getent hosts {name}"],
    ),
    "/usr/lib/x86_64-linux-gnu/gstreamer1.0/gstreamer-1.0/gst-ptp-helper": (
        "opens sockets as its caller",
        ["-v", "--help {word}", "-i eth0 -c 0x{word}"],
    ),
    "/usr/lib/x86_64-linux-gnu/utempter/utempter": (
        "a line of utmp",
        ["add {name}", "add {address}:{word}", "del"],
    ),
    "/usr/sbin/unix_chkpwd": (
        "checks the caller's own password",
        ["{word} nullok", "{name} chkexpiry"],
    ),
    "/usr/bin/passwd": (
        "the caller's own password; the one set-user-id program that reviewers need",
        ["{name}", "-S {word}", "-r ldap {word}", "-R /tmp/{word}"],
    ),
}
