"""Which GitHub names may become accounts."""

from __future__ import annotations


# GitHub allows 39, but utmp and useradd on Ubuntu stop at 32.
MAX_LENGTH = 32

# GitHub's rule, narrower than useradd's: no "+x", no "~x", no dot, slash or colon.
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-")
# A bare prefix counts, since C reads it as 0.
_DIGITS = {"0x": frozenset("0123456789abcdef"), "0o": frozenset("01234567")}

# A person with one of these names would be, or would one day collide with, somebody
# else: useradd makes a group of the same name, so groups count as much as users.
# All lower case, because it is looked up without regard to case. System names with
# an underscore (_apt, _chrony, snap_daemon) need no line: GitHub has no such names.
_BASE_SYSTEM = """
    root daemon bin sys sync games man lp mail news uucp proxy www-data backup list
    irc gnats nobody nogroup adm tty disk kmem dialout fax voice cdrom floppy tape
    sudo audio dip operator src shadow utmp video sasl plugdev staff users wheel
    input render kvm sgx clock crontab netdev empower admin administrator
"""
_PACKAGES = """
    messagebus dbus polkitd polkit syslog uuidd tss landscape pollinate tcpdump sshd
    ssh ssl-cert fwupd-refresh usbmux dnsmasq dhcpcd rdma lxd lxc lxc-dnsmasq incus
    incus-admin docker containerd podman libvirt libvirt-qemu libvirt-dnsmasq qemu
    xrdp lightdm gdm sddm greeter pulse pulse-access pipewire rtkit colord geoclue
    whoopsie kernoops saned scanner hplip lpadmin cups cups-pk-helper bluetooth
    avahi avahi-autoipd speech-dispatcher gnome-initial-setup gnome-remote-desktop
    nm-openvpn nm-openconnect chrony ntp ntpsec openntpd rsync ftp sftp tftp statd
    rpc rpcuser nfs samba sambashare winbindd-priv sssd nslcd bind named unbound
    postfix postdrop dovecot debian-exim mysql postgres redis mongodb memcache nginx
    apache httpd haproxy squid rabbitmq prometheus node-exporter telegraf grafana
    fuse i2c gpio spi utempter mlocate plocate stapusr stapsys stapdev wireshark
    nvidia-persistenced unscd ossec wazuh clamav nagios nrpe munin puppet ansible
    salt cloud-init ec2-user azureuser vagrant ubuntu debian google-sudoers
    cloudsdk omsagent ssm-user guest user test auditd
"""
_OURS = """
    opensafely developers researchers reviewers jobrunner airlock collector agent
"""
# sudoers, access.conf, sshd_config and tools that take a list of users give these
# words a meaning of their own.
_WORDS = "all none any except default local self unknown anonymous"

RESERVED = frozenset(" ".join((_BASE_SYSTEM, _PACKAGES, _OURS, _WORDS)).split())
RESERVED_PREFIXES = ("systemd-", "opensafely-", "snapd-")


def problem(name: str) -> str | None:
    """What is wrong with the name, to be read after it; None if it may be an account.

    Pure: what exists on one particular host is for that host's check to say.
    """
    return _spelling(name) or _meaning(name)


def _spelling(name: str) -> str | None:
    if not name:
        return "is empty; a name has 1 to 32 characters"
    odd = [ascii(character) for character in name if character not in _ALLOWED]
    if odd:
        return f"contains {odd[0]}; only ASCII letters, digits and hyphens may be used"
    if name[0] == "-" or name[-1] == "-":
        return "begins or ends with a hyphen; a hyphen stands between letters or digits"
    if "--" in name:
        return "has two hyphens in a row; only single hyphens may be used"
    if len(name) > MAX_LENGTH:
        return f"has {len(name)} characters; Linux accounts have at most {MAX_LENGTH}"
    return None


def _meaning(name: str) -> str | None:
    lower = name.lower()
    digits = _DIGITS.get(lower[:2])
    if lower.isdigit() or (digits and digits.issuperset(lower[2:])):
        # `id 1000` and `chown 0x10` would mean a uid, and newer useradd refuses both.
        return "is a number; a name needs something that cannot be read as a uid"
    if lower in RESERVED or lower.startswith(RESERVED_PREFIXES):
        return "is reserved for the system; an account needs a name of its own"
    return None
