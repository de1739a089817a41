"""Files of others over ours: which of them count, in the order in which systemd and PAM read them."""

import pytest

from backend_server.base.last_word import Limits, OurUnits
from backend_server.host.reader import HostReader


PASSWD = (
    "ada:x:1000:1000::/home/ada:/bin/bash\nlinus:x:1001:1001::/home/linus:/bin/sh\n"
)
GROUP = "opensafely-people:x:2000:ada\nreviewers:x:10010:ada\n"


@pytest.fixture
def host(tmp_path):
    """A tree of files, each of which is text, or a link where its text begins with `->`."""

    def made(**files):
        known = {"etc/passwd": PASSWD, "etc/group": GROUP, **files}
        for path, text in known.items():
            place = tmp_path / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("->"):
                place.symlink_to(text[2:])
            else:
                place.write_text(text)
        return HostReader(tmp_path)

    return made


def refused(noun, host):
    found = noun.objection(host)
    return found.hint if found else ""


NAME = "systemd/system/opensafely-people.service.d/f.conf"
NULL, RUNS, NICE = "->/dev/null", "[Service]\nUser=gus\n", "[Service]\nNice=5\n"
# systemd.unit(5): of one name in one folder the file counts that is found first.
MASKS = [
    ({f"usr/lib/{NAME}": RUNS}, f"mv /usr/lib/{NAME}"),
    ({f"usr/lib/{NAME}": RUNS, f"etc/{NAME}": NULL}, ""),
    ({f"run/{NAME}": RUNS, f"etc/{NAME}": NULL}, ""),
    ({f"usr/lib/{NAME}": RUNS, f"run/{NAME}": NULL}, ""),
    ({f"usr/lib/{NAME}": RUNS, f"etc/{NAME}": NICE}, ""),
    ({f"usr/lib/{NAME}": NULL, f"etc/{NAME}": RUNS}, f"mv /etc/{NAME}"),
    ({f"usr/lib/{NAME}": NICE, f"run/{NAME}": RUNS}, f"mv /run/{NAME}"),
    ({f"usr/local/lib/{NAME}": RUNS, f"usr/lib/{NAME}": NULL}, f"mv /usr/local/lib/{NAME}"),
    ({f"run/{NAME}": RUNS, f"etc/{NAME.replace('f.conf', 'g.conf')}": NULL}, f"mv /run/{NAME}"),
    ({f"etc/{NAME}": RUNS, f"etc/{NAME.replace('system/', 'system.control/')}": NULL}, ""),
    # `systemctl set-property`, which writes before all others
    (
        {"etc/systemd/system.control/opensafely-jobrunner.service.d/50-MemoryMax.conf": "[Service]\nMemoryMax=1M\n"},
        "mv /etc/systemd/system.control/",
    ),
    (
        {"run/systemd/system.control/opensafely-modes.service.d/50-User.conf": RUNS},
        "mv /run/systemd/system.control/",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("files", "mends"), MASKS)
def test_of_drop_ins_of_one_name_one_counts(host, files, mends):
    hint = refused(OurUnits("units"), host(**files))
    assert hint.startswith(mends) if mends else not hint, hint


TIMER = "etc/systemd/system/opensafely-tidy.timer.d/f.conf"


@pytest.mark.parametrize(
    ("when", "fine"),
    [
        *(("daily", 1), ("03:17", 1), ("*-*-* 3:17:00", 1), ("*:0/5", 1)),
        *(("*-*-* 02,14:00 UTC", 1), ("hourly", 1), ("", 0)),
        # nothing that is shut meanwhile is shut in time; man systemd.time(7)
        *(("2099-01-01", 0), ("2099-01-01 03:00", 0), ("yearly", 0), ("monthly", 0)),
        *(("*-01-01 03:00", 0), ("*-*-31", 0), ("Sat 03:00", 0), ("*-02~29", 0)),
    ],
)
def test_a_timer_s_other_times_come_each_day(host, when, fine):
    text = f"[Timer]\nOnCalendar=\nOnCalendar={when}\n"
    assert bool(refused(OurUnits("units"), host(**{TIMER: text}))) is not bool(fine)


CONF = "etc/security/limits.conf"
FIRST, LAST = "etc/security/limits.d/10.conf", "etc/security/limits.d/zzz.conf"
OURS = {"etc/security/limits.d/zz-opensafely.conf": "* hard core 0\nroot hard core 0\n"}
LINES = [
    ({FIRST: "* hard core unlimited\n"}, ""),
    ({LAST: "* hard core unlimited\n"}, f"sed -i '1s/^/#/' /{LAST}"),
    ({LAST: "root - core 9\n"}, f"sed -i '1s/^/#/' /{LAST}"),
    ({LAST: "# x\nada soft core 9\n"}, ""),
    # who has nothing left to begin a shell with
    ({FIRST: "* hard nproc 5\n"}, f"sed -i '1s/^/#/' /{FIRST}"),
    ({FIRST: "* soft nproc 5\n", LAST: "* soft nproc 4000\n"}, ""),
    (
        {FIRST: "* - nproc 5\n", LAST: "* hard nproc 400\n"},
        f"sed -i '1s/^/#/' /{FIRST}",
    ),
    ({CONF: "\n@reviewers - nofile 10\n"}, f"sed -i '2s/^/#/' /{CONF}"),
    ({CONF: "linus - nproc 1\n@games - nofile 0\n"}, ""),
    ({CONF: "* hard maxlogins 10\n* hard nproc 400\n"}, ""),
    ({CONF: "* hard maxlogins 0\n"}, f"sed -i '1s/^/#/' /{CONF}"),
    ({CONF: "* - MAXSYSLOGINS 0\n"}, f"sed -i '1s/^/#/' /{CONF}"),
    ({CONF: "%reviewers - maxlogins 0\n"}, f"sed -i '1s/^/#/' /{CONF}"),
    ({CONF: "1000: hard as 5000\n"}, f"sed -i '1s/^/#/' /{CONF}"),
    ({CONF: "ada hard fsize 0\n"}, f"sed -i '1s/^/#/' /{CONF}"),
    ({CONF: "* hard nproc unlimited\n* - nofile -1\n* hard nice 0\n"}, ""),
    ({"etc/security/limits.d/10.conf.dpkg-old": "* hard nproc 5\n"}, ""),
]


@pytest.mark.parametrize(("files", "mends"), LINES)
def test_of_lines_for_the_same_the_last_counts(host, files, mends):
    assert refused(Limits("limits"), host(**OURS, **files)) == mends
