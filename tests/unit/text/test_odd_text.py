"""No text that others wrote ends a parser with anything but an answer."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend_server.docker.daemon import parsed
from backend_server.text.errors import Refused
from backend_server.text.parsers import (
    parse_assignments,
    parse_dpkg_status,
    parse_getent,
    parse_group,
    parse_hosts,
    parse_mount_points,
    parse_mounts,
    parse_nsswitch,
    parse_passwd,
    parse_shadow,
    parse_subids,
)
from backend_server.text.releases import of_host


pytestmark = pytest.mark.share("in force")

examples = settings(max_examples=10_000 if settings().max_examples > 100 else 200)

MOUNTINFO = """\
21 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw
22 21 0:20 / /mnt/a\\040b ro,nosuid master:1 - fuse.sshfs gus@elsewhere:/ rw,user_id=1001
"""
PARSERS = {
    "passwd": (
        parse_passwd,
        "root:x:0:0:root:/root:/bin/bash\nada:x:1:1::/home/ada:/bin/sh\n",
    ),
    "group": (parse_group, "root:x:0:\ndocker:x:999:ada,gus\n+:::\n"),
    "shadow": (
        parse_shadow,
        "root:*:19700:0:99999:7:::\ngus:!:19700:0:99999:7::20000:\n",
    ),
    "subuid": (parse_subids, "ada:100000:65536\n1002:200000:65536\n"),
    "getent": (
        parse_getent,
        "Grace@example.org:*:1601:1601:Grace:/home/grace:/bin/bash\n",
    ),
    "nsswitch": (parse_nsswitch, "passwd: files systemd [NOTFOUND=return] sss # x\n"),
    "hosts": (parse_hosts, "127.0.0.1 localhost # us\n::1 ip6-localhost\n"),
    "dpkg": (parse_dpkg_status, "Package: bash\nStatus: install ok installed\n\n"),
    "assignments": (parse_assignments, 'ID=debian\nVERSION_ID="12"\n#X=1\n'),
    "mount points": (parse_mount_points, MOUNTINFO),
    "mounts": (parse_mounts, MOUNTINFO),
    "daemon.json": (
        parsed,
        '{"mtu": 1400, "dns": ["10.0.0.1"], "default-ulimits": {}}\n',
    ),
}
ODD = (
    *(
        "\udcff",
        "\0",
        "\r\n",
        "\n",
        "\r",
        "\u2028",
        "\x85",
        "\x1c",
        "\x0b",
        "\xa0",
        " ",
        "\t",
    ),
    *(
        "::::::::::::",
        ":",
        "-1",
        "-",
        "+",
        "#",
        "=",
        "'",
        '"',
        "{",
        "[",
        "\\",
        "\\040",
        " - ",
    ),
    *(
        "9" * 5000,
        "1e999",
        "0x10",
        "٣",
        "²",
        "never",
        "NaN",
        "%s",
        "$(id)",
        "[" * 100_000,
    ),
)


@st.composite
def mutated(draw, text):
    """With pieces taken out, doubled, cut off, or put in."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        to = draw(st.integers(at, min(len(text), at + 12)))
        new = draw(st.sampled_from(("", text[at:to] * 2, *ODD)) | st.text(max_size=3))
        text = text[:at] + new + text[to:]
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@pytest.mark.parametrize("name", PARSERS)
def test_any_text_is_read(name):
    parse, text = PARSERS[name]

    @examples
    @given(mutated(text))
    def reads(odd):
        parse(odd)

    assert parse(text)
    reads()


@examples
@given(mutated('ID=debian\nVERSION_ID="12"\n'))
def test_any_release_is_known_or_refused(text):
    with contextlib.suppress(Refused):
        assert of_host(parse_assignments(text)).name


def test_a_name_that_is_no_blank_to_the_kernel():
    """Of a file system that a person mounted by FUSE: nobody else's is lost by it."""
    odd = "23 21 0:21 / /home/gus/a\u2028b\x85c\xa0d\x1ce rw - fuse.x y rw\n"
    assert "/mnt/a\\040b" in parse_mount_points(odd + MOUNTINFO)
    assert parse_mounts(odd + MOUNTINFO)[0, 20] == "fuse.sshfs"
    assert parse_mounts(odd + MOUNTINFO)[0, 21] == "fuse.x"


def test_a_device_of_more_digits_than_there_are():
    """Of 10,000 examples one had it: int() takes no more than 4300 digits from Python 3.11 on."""
    odd = f"23 21 0:{'9' * 5000} / /x rw - ext4 y rw\n"
    assert parse_mounts(odd + MOUNTINFO) == parse_mounts(MOUNTINFO)
