"""What a run stands on and is not ours: it is told with what mends it, and no command breaks down.

Inputs are those of people's reports; each says whose.
"""

from __future__ import annotations

import contextlib
import re

import pytest

from tests.hosts.managing import CHECKOUT, manage, rests
from tests.sampling import one_of


pytestmark = pytest.mark.share("in force")

MOTD = "/etc/motd"
UNIT = "/etc/systemd/system/opensafely-modes.service"


@pytest.fixture(scope="module")
def host(shared_warm_host):
    made = shared_warm_host("emis")
    assert rests(made, "emis", "--offline")
    return made


def hints(done):
    return [line.partition("; try: ")[2] for line in done.stdout.splitlines()]


def shuts_rita_out(host, prefix=""):
    """Whatever else is amiss: what she has begun ends, and each door is said to be shut or not."""
    host.run("setsid runuser -u rita -- sleep 1000 </dev/null >/dev/null 2>&1 &")
    host.run("until pgrep -u rita; do sleep 0.05; done")
    done = manage(host, "people revoke rita --why test", "emis", prefix)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode in (0, 1), done.stdout
    assert re.search(r"sessions +[1-9]+ process", done.stdout), done.stdout
    assert host.run("pgrep -u rita", check=False).stdout == ""
    return done


def lets_rita_in(host):
    manage(host, "people readmit rita", "emis")
    assert manage(host, "--offline", "emis").returncode == 0
    assert rests(host, "emis", "--offline")


# ---- file systems that cannot be written to


def read_only(path, mend="true"):
    """As ext4 leaves its disk after an error, for what is run by this and nothing else."""
    bind = "" if path == "/" else f"mount --bind {path} {path};"
    return (
        f"unshare --mount sh -c '{bind} mount -o remount,bind,ro {path}; "
        f'{mend}; exec "$@"\' -'
    )


# nodejs/build#2231: the kernel's answer to an error of the disk; dperson/samba#174 is what
# shadow's tools say then. MichaIng/DietPi#7117: /usr under apt; weareinteractive/ansible-apt#5.
PLACES = ("/", "/etc", "/var", "/usr", "/boot")


@pytest.mark.parametrize("path", one_of("read-only file systems", *PLACES))
def test_a_file_system_that_cannot_be_written_to(host, path):
    prefix = read_only(path)
    host.run(f"chmod 600 {MOTD}")
    mends = f"mount -o remount,rw {path}"
    for words in ("plan --offline", "status", "--offline"):
        done = manage(host, words, "emis", prefix)
        assert "Traceback" not in done.stderr, done.stderr
        assert mends in hints(done), done.stdout
        assert done.returncode != 0
    shuts_rita_out(host, prefix)
    done = manage(host, "people readmit rita", "emis", prefix)
    assert "Traceback" not in done.stderr, done.stderr
    mended = read_only(path, mends)
    assert manage(host, "--offline", "emis", mended).returncode == 0
    lets_rita_in(host)


# ---- files that cannot be read


# As a disk with a bad block has it, a share whose server has gone, and a name that is no file.
KINDS = {"EIO": "/proc/1/mem", "ENXIO": "/run/systemd/notify"}
FILES = (
    *("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/hosts", "/etc/fstab"),
    *("/etc/nsswitch.conf", "/etc/ssh/sshd_config", "/etc/os-release", MOTD, UNIT),
    *("/etc/opensafely/backend", "/etc/opensafely/revoked"),
    *("/etc/opensafely/images.lock", "/etc/opensafely/services/jobrunner"),
    *("/etc/opensafely/env/02_secrets.env", "/var/lib/opensafely/github.json"),
    *("/var/lib/opensafely/notices", "/var/log/opensafely/history.jsonl"),
    *("/var/lib/dpkg/status", f"{CHECKOUT}/developers", f"{CHECKOUT}/emis/backend.py"),
    *(f"{CHECKOUT}/emis/images.lock", f"{CHECKOUT}/emis/hosts"),
)
COMMANDS = (
    *("status", "plan --offline", "--offline", "people list", "people who --root"),
    *("service list", "service logs jobrunner", "service stop jobrunner", "job list"),
    *("job kill --yes x", "people sessions", "host disk", "host undo", "host tidy"),
    *("service hold jobrunner --why x", "people narrow --offline", "outputs releases"),
    *("people revoke rita --why x", "people readmit rita", "service start jobrunner"),
)


# Of a command, of a resource, and of a run that nobody can look up later.
SENTENCES = "error: |failed|refused: |this run is not in the history: "


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("path", one_of("files that cannot be read", *FILES))
def test_a_file_that_cannot_be_read(host, path, kind):
    """Whichever and whoever asks: each command ends by a sentence, and says so by its status."""
    host.run(f"[ -e {path} ] || touch {path}")
    bind = f"mount --bind {KINDS[kind]} {path}; exec"
    prefix = f"unshare --mount sh -c '{bind} \"$@\"' -"
    for words in COMMANDS:
        done = manage(host, words, "emis", prefix)
        said = f"{path}, {kind}, {words}: {done.stdout}{done.stderr}"
        assert "Traceback" not in said, said
        assert done.returncode in range(5), said
        assert done.returncode not in (1, 2) or re.search(SENTENCES, said), said
    lets_rita_in(host)


# ---- file systems that are apart, and full


# moby/moby#10915: of docker's folder the inodes; others have room, or have it full.
APART = {
    "/boot": "size=64k",
    "/var/log": "size=64k",
    "/srv/high_privacy": "size=64k",
    "/srv/medium_privacy": "nr_inodes=20",
    "/var/lib/docker": "nr_inodes=20",
}


def test_each_file_system_that_is_apart_is_told_when_it_is_full(host):
    fill = "for n in $(seq 40); do head -c 9k /dev/zero > {}/fill$n; done 2>/dev/null"
    for path, options in APART.items():
        mount = f"mount -t tmpfs -o {options} none {path}; {fill.format(path)}"
        prefix = f"unshare --mount sh -c '{mount}; exec \"$@\"' -"
        told = f"the disk of {path}: 100 % in use"
        assert told not in manage(host, "status", "emis").stdout
        done = manage(host, "status", "emis", prefix)
        assert told in done.stdout, done.stdout + done.stderr


# ---- files that root may not change


def test_who_is_shut_out_though_files_are_immutable(host):
    """elastic/detection-rules#2161: of accounts, and the file with their own keys."""
    held = "/etc/shadow /etc/group /etc/ssh/opensafely_keys/rita"
    rita = host.people["rita"].key
    assert host.ssh("rita", rita, "true", check=False).returncode == 0
    host.run(f"chattr +i {held}")
    try:
        for words in ("plan --offline", "status"):
            mends = "chattr -ia /etc/shadow /etc/group"
            assert mends in hints(manage(host, words, "emis"))
        ask = "people password --ask gus <<< Plum7-Kettle_Orbit"
        done = manage(host, ask, "emis")
        assert (done.returncode, "try: sudo backend status" in done.stderr) == (1, True)
        assert shuts_rita_out(host).returncode == 0
        assert host.ssh("rita", rita, "true", check=False).returncode == 255
        assert host.run("chage -l rita | grep -c 1970").stdout == "1\n"
    finally:
        host.run(f"chattr -i {held}", check=False)
    lets_rita_in(host)


# ---- /run


@contextlib.contextmanager
def of_size(host, size):
    host.run(f"mount -o remount,size={size} /run")
    try:
        yield
    finally:
        host.run("rm -f /run/fill; mount -o remount,size=1G /run")


def test_a_run_of_a_few_megabytes(host):
    """idealista/mysql_role#4, LuckfoxTECH/luckfox-pico#136: systemd refuses to read a unit anew."""
    with of_size(host, "8m"):
        host.run(f"echo >> {UNIT}")
        plan = manage(host, "plan --offline", "emis")
        done = manage(host, "--offline", "emis")
        assert (done.returncode, "Refusing to reload" in done.stdout) == (1, True)
        (mends,) = filter(None, hints(done))
        assert mends.startswith("mount -o remount,size=")
        assert mends in plan.stdout
        assert mends in manage(host, "status", "emis").stdout
        shuts_rita_out(host)
        host.run(mends)
        lets_rita_in(host)


def test_a_run_without_room(host):
    """systemd/systemd#5016: no word fits in there any more, and no lock needs one."""
    with of_size(host, "32m"):
        host.run("head -c 64M /dev/zero > /run/fill || true")
        for words in ("plan --offline", "status", "--offline"):
            done = manage(host, words, "emis")
            assert "Traceback" not in done.stderr, done.stderr
            assert done.returncode in (1, 4), done.stdout
        shuts_rita_out(host)
        host.run("rm /run/fill")
        lets_rita_in(host)


# ---- inodes


def test_no_inode_left(host):
    """moby/moby#10915, moby/moby#22095: df has room, and nothing can be made."""
    host.run("cp -a /var/lib/opensafely /root/state")
    host.run("mount -t tmpfs -o nr_inodes=300,mode=755 none /var/lib/opensafely")
    host.run("cp -a /root/state/. /var/lib/opensafely/")
    host.run(
        "cd /var/lib/opensafely; seq 400 | xargs -I% touch fill% 2>/dev/null || true"
    )
    host.run(f"chmod 600 {MOTD}; echo >> {UNIT}")
    try:
        done = manage(host, "--offline", "emis")
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stdout
        assert "No space left on device" in done.stdout, done.stdout
        shuts_rita_out(host)
    finally:
        host.run("umount -l /var/lib/opensafely; rm -r /root/state")
    lets_rita_in(host)


# ---- the host's own name


def test_a_name_that_no_file_knows(host):
    """canonical/cloud-init#2283, scaleway/image-ubuntu#58, edge-core/sonic-buildimage#114."""
    host.run("hostname vm-0815; sed -i '/^hosts:/s/ myhostname//' /etc/nsswitch.conf")
    host.run("cp -a /etc/hosts /root/hosts")
    try:
        plan = manage(host, "plan --offline", "emis")
        assert plan.returncode == 4, plan.stdout
        (mends,) = filter(None, hints(plan))
        assert mends in hints(manage(host, "status", "emis"))
        host.run(mends)
        assert "vm-0815" not in manage(host, "status", "emis").stdout
        assert host.run("getent hosts vm-0815").stdout.startswith("127.0.1.1")
        assert manage(host, "--offline", "emis").returncode == 0
    finally:
        host.run("cat /root/hosts > /etc/hosts; hostname $(cat /etc/hostname)")
    assert rests(host, "emis", "--offline")


# ---- IPv6


# As with ipv6.disable=1: no such family of sockets, and none of its parameters.
NO_IPV6 = (
    "systemd-run --quiet --pipe --wait --collect -p RestrictAddressFamilies=~AF_INET6 "
    "unshare --mount sh -c 'mount -t tmpfs none /proc/sys/net/ipv6; exec \"$@\"' -"
)


def test_a_kernel_without_ipv6(host):
    """NASA-AMMOS/AIT-Core#399, troglobit/merecat#47: images of vendors who switched it off."""
    with no_ipv6(host, "ssh"):
        host.run(
            "rm /etc/ssh/sshd_config.d/00-opensafely.conf /etc/nftables.d/* || true"
        )
        done = manage(host, "--offline", "emis", NO_IPV6)
        assert done.returncode == 0, done.stdout + done.stderr
        status = manage(host, "status", "emis", NO_IPV6)
        assert status.returncode == 0, status.stdout + status.stderr
        shuts_rita_out(host, NO_IPV6)
    lets_rita_in(host)


@pytest.mark.long
def test_docker_on_a_kernel_without_ipv6(host):
    """moby/moby#49504: it starts, and so does what needs a network of ours."""
    agent = "opensafely-jobrunner"
    # For the whole host: in a place of docker's own, containerd would not see what docker mounts.
    gone = "mount -t tmpfs none /proc/sys/net/ipv6"
    stopped = f"systemctl stop {agent}; docker network rm jobrunner-db"
    stopped = f"{stopped}; systemctl stop docker.socket docker; {gone}"
    with contextlib.ExitStack() as back:
        back.callback(host.run, "umount /proc/sys/net/ipv6")
        back.enter_context(no_ipv6(host, "docker", stopped))
        refused = "python3 -c 'import socket; socket.socket(socket.AF_INET6)'"
        assert host.run(f"{NO_IPV6} {refused}", check=False).returncode  # as meant
        for _ in range(2):
            done = manage(host, "--offline", "emis", NO_IPV6)
            assert done.returncode in (0, 4), done.stdout + done.stderr
        assert " changed" not in done.stdout
        assert "jobrunner-db" in host.run("docker network ls").stdout
        assert host.run(f"systemctl is-active {agent}").stdout == "active\n"
    assert manage(host, "--offline", "emis").returncode in (0, 4)
    assert rests(host, "emis", "--offline")


@contextlib.contextmanager
def no_ipv6(host, unit, before="true"):
    """A daemon that cannot have it either."""
    drop_in = f"/run/systemd/system/{unit}.service.d/no-ipv6.conf"
    text = "[Service]\nRestrictAddressFamilies=~AF_INET6\n"
    again = f"systemctl daemon-reload; systemctl restart {unit}"
    host.run(f"{before}; mkdir -p $(dirname {drop_in})")
    host.run(f"cat > {drop_in}; {again}", stdin=text)
    try:
        yield
    finally:
        host.run(f"rm -r $(dirname {drop_in}); {again}")


# ---- the clock


# As a machine whose clock is off: each program that is started asks for the time by this.
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"


@contextlib.contextmanager
def clock(host, offset):
    host.run(f"apt-get -qq install faketime && cp {FAKETIME} /usr/lib/off.so")
    host.run(
        f"echo {offset} > /etc/faketimerc; echo /usr/lib/off.so > /etc/ld.so.preload"
    )
    try:
        yield
    finally:
        host.run("LD_PRELOAD= rm /etc/ld.so.preload /etc/faketimerc")
        # Faketime moves the time since the boot too, which no wrong clock does. A revocation
        # starts this service a minute later: what runs under faketime ends first.
        host.run("systemctl start opensafely-people.service", check=False)
        host.run("rm -f /run/opensafely/clock")


def test_a_clock_that_is_a_day_late(host):
    """jareware/chilipie-kiosk#190, diggerhq/opencomputer#43: apt takes no lists, TLS may not."""
    host.run("sed -i '1!d' /etc/issue.net")
    with clock(host, "-1d"):
        for words in ("plan --offline", "status", "--offline"):
            done = manage(host, words, "emis")
            assert done.returncode in (3, 4), done.stdout + done.stderr
            assert "Traceback" not in done.stderr, done.stderr
            assert "in the last run; try: timedatectl" in done.stdout
            assert hints(done).count("timedatectl") == 1
        shuts_rita_out(host)
        lists = "rm -r /var/lib/apt/lists/*; apt-get -qq purge tree"
        host.run(lists)
        done = manage(host, "", "emis")
        assert done.returncode == 1, done.stdout
        assert "not yet valid certificate" in done.stdout, done.stdout
        assert "try: timedatectl" in done.stdout
    lets_rita_in(host)


def test_a_clock_that_is_a_year_early(host):
    """apt's Valid-Until is over then, and accounts with an end are shut, as they say."""
    with clock(host, "+400d"):
        for words in ("plan --offline", "status", "--offline"):
            done = manage(host, words, "emis")
            assert done.returncode in (0, 3, 4), done.stdout
            assert "Traceback" not in done.stderr, done.stderr
        shuts_rita_out(host)
    host.run(
        "touch -d '1 year' /var/log/opensafely/history.jsonl"
    )  # as the kernel would have
    done = manage(host, "status", "emis")
    assert "in the last run; try: timedatectl" in done.stdout
    host.run("touch /var/log/opensafely/history.jsonl")
    lets_rita_in(host)
