"""A share as a backend declares it, its password, and when somebody should look."""

import json

import pytest

from backend_server.checkout import gather
from backend_server.checkout.backend import Share
from backend_server.host.reader import HostReader
from backend_server.outputs import credentials, pushed
from backend_server.outputs.component import options
from backend_server.outputs.pushed import Put, Record
from backend_server.run.place import load
from backend_server.text.errors import Refused
from backend_server.text.parsers import parse_mount_points, parse_mounts
from backend_server.text.releases import named
from tests.unit.example import TODAY, checkout_of


SHARE = Share("windows.example", "level4/some/folder", "opensafely")


def test_what_follows_from_a_declaration():
    assert list(SHARE.problems()) == []
    assert SHARE.source == "//windows.example/level4"
    assert SHARE.folder == "some/folder"
    assert (SHARE.mount, SHARE.endpoint) == ("mnt-level4.mount", "windows.example:445")
    assert SHARE._replace(path="level4").folder == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("server", "a,b"),
        ("server", ""),
        ("path", "/level4"),
        ("path", "level4/../x"),
        ("path", "level4/a b"),
        ("account", "open safely"),
        ("account", "x,uid=0"),
        ("domain", "%n"),
        ("mount_point", "/mnt/level-4"),
        ("mount_point", "mnt"),
        ("mount_point", "/mnt/"),
        ("version", "1.0"),
    ],
)
def test_what_no_unit_could_say_is_refused(field, value):
    (problem,) = SHARE._replace(**{field: value}).problems()
    assert problem.startswith(f"share: {field} {value!a}: wanted ")


def test_a_server_has_a_line_in_hosts_and_mistakes_name_the_file(tmp_path):
    checkout = checkout_of("tpp", tmp_path)
    tpp, noble = load("tpp", checkout), named("ubuntu 24.04")
    for share, said in (
        (SHARE, "share windows.example has no line in tpp/hosts"),
        (SHARE._replace(account="a,b"), "tpp/backend.py: share: account 'a,b': wanted"),
    ):
        with pytest.raises(Refused) as raised:
            gather.gather(tpp._replace(share=share), noble, checkout, TODAY)
        assert said in str(raised.value)
    pinned = tpp._replace(share=SHARE._replace(server="192.0.2.41"))
    assert gather.gather(pinned, noble, checkout, TODAY).backend == pinned


def test_options_of_the_mount():
    found = list(options(SHARE))
    assert {"vers=3.1.1", "seal", "file_mode=0600", "dir_mode=0700", "port=445"} <= {
        *found
    }
    assert {"soft", "nosuid", "nodev", "noexec", "nofail", "_netdev"} <= {*found}
    assert not [each for each in found if each.startswith(("password", "domain"))]
    other = list(options(SHARE._replace(seal=False, domain="TPP", file_mode=0o640)))
    assert {"domain=TPP", "file_mode=0640"} <= {*other}
    assert "seal" not in other


@pytest.mark.parametrize("password", ["sesame", "a,b=c #'\"\\", "é" * 256, "ends "])
def test_a_password_is_taken_as_it_is(password):
    text = credentials.text(password)
    assert text.endswith(f"\npassword={password}\n")
    assert credentials.is_set(text)


@pytest.mark.parametrize(
    "password", ["sé\nsame", "sé\0", " sé", "\tsé", "é" * 257, "\udcff"]
)
def test_a_password_that_no_line_can_hold_is_not_said(password):
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        credentials.text(password)
    assert password.strip() not in str(raised.value)


@pytest.mark.parametrize(
    "text", [None, "", credentials.HEADER, "password=\n", "#password=x"]
)
def test_no_password(text):
    assert not credentials.is_set(text)


def record(**more):
    return Record("2020-01-01T00:00:00Z", **more)


def test_late_outputs_are_degraded_and_say_since_when_and_why():
    said = list(pushed.degraded(record(), SHARE))
    assert "since 2020-01-01T00:00:00Z" in said[0]
    late = record(
        succeeded="2020-02-02T00:00:00Z", waiting={"ws/a": 1}, why="Host is down"
    )
    (sentence,) = pushed.degraded(late, SHARE)
    assert "since 2020-02-02T00:00:00Z, 1 file waiting: Host is down;" in sentence
    fresh = pushed.read(HostReader()).began
    assert not [*pushed.degraded(record(succeeded=fresh, waiting={"ws/a": 1}), SHARE)]


def test_outputs_that_have_no_place_are_degraded_at_once():
    fresh = Record(pushed.history.now(), failed={"ws/é\n": "is too long for Windows"})
    (sentence,) = pushed.degraded(fresh, SHARE)
    assert r"such as 'ws/\xe9\n', which is too long" in sentence


@pytest.mark.parametrize(("count", "more"), [(20, 0), (21, 1), (300_000, 299_980)])
def test_status_names_twenty_that_failed_and_counts_the_rest(count, more):
    found = record(failed={f"ws/../{n}": "is no path" for n in range(count)})
    lines = [*pushed.lines(pushed.summary(found))]
    assert len([line for line in lines if "is no path" in line]) == 20
    assert [line for line in lines if "more" in line] == (
        [f"outputs     and {more} more: status --json"] if more else []
    )


def test_a_record_that_cannot_be_read_is_a_new_one(tmp_path):
    host = HostReader(tmp_path)
    (tmp_path / "var/lib/opensafely").mkdir(parents=True)
    state = tmp_path / pushed.STATE[1:]
    for text in ("", "{", "[]", '{"format": 1}', '{"began": "x", "other": 1}'):
        state.write_text(text)
        assert pushed.read(host).put == {}
    state.write_text(json.dumps({"format": 1, "began": "x"}))
    (tmp_path / pushed.FILES[1:]).write_text(
        '{"put": {"ws/a": ["a", "0f", 1, [1, 2]]}}'
    )
    assert pushed.read(host) == Record("x", put={"ws/a": Put("a", "0f", 1, (1, 2))})


MOUNTINFO = """\
29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
60 29 0:44 / /mnt/level4 rw,relatime shared:80 - autofs systemd-1 rw,fd=49
72 60 0:51 / /mnt/level4 rw,nosuid shared:90 master:2 - cifs //level4/x rw,vers=3.1.1
80 29 0:60 / /mnt/with\\040blank rw - tmpfs none rw
"""


def test_mounts():
    assert parse_mounts(MOUNTINFO)[0, 51] == "cifs"
    assert parse_mounts(MOUNTINFO)[8, 1] == "ext4"
    points = {"/", "/mnt/level4", "/mnt/with\\040blank"}
    assert parse_mount_points(MOUNTINFO).keys() == points
    assert parse_mount_points(MOUNTINFO)["/mnt/level4"] == {"rw", "nosuid"}
