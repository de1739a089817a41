"""What is accepted as a key has the fingerprint that ssh-keygen gives it."""

import re
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend_server.checkout.keys import Key, offered, parse
from backend_server.host.reader import HostReader
from backend_server.people.authorized_keys import AuthorizedKeys
from backend_server.text.errors import Refused
from tests.unit.checkout.test_keys import ANSWER, BYTES, GOOD, mutated


def told_by_ssh_keygen(text):
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", "/dev/stdin"],
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return re.findall(r"SHA256:\S+", done.stdout.decode())


def test_good_keys():
    for line, fingerprint in GOOD:
        assert told_by_ssh_keygen(line + "\n") == [fingerprint]
    text = "".join(f"{line}\n" for line, _ in GOOD)
    keys, _ = parse("k", text.encode())
    ours = "".join(key.line("ada", "keys/ada") for key in keys)
    assert told_by_ssh_keygen(ours) == [fingerprint for _, fingerprint in GOOD]


def test_mutated_keys():
    """One text with all that was accepted of many, so that one program judges them."""
    accepted = {}

    @settings(max_examples=500, database=None, suppress_health_check=list(HealthCheck))
    @given(mutated())
    def collect(text):
        accepted.update(dict.fromkeys(parse("k", text)[0]))

    collect()
    assert len(accepted) > len(GOOD)
    text = "".join(key.line("ada", "k") for key in accepted)
    assert told_by_ssh_keygen(text) == [key.fingerprint for key in accepted]


def test_a_byte_changed_on_the_way():
    """What still passes for a key is one for ssh-keygen too, and the same one."""
    accepted = {}

    @settings(max_examples=2000, database=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(ANSWER) - 1), BYTES)
    def collect(at, byte):
        text = ANSWER[:at] + byte + ANSWER[at + 1 :]
        accepted.update(dict.fromkeys(offered(text)[0]))

    collect()
    assert len(accepted) > 10 * len(GOOD)
    text = "".join(key.line("ada", "k") for key in accepted)
    assert told_by_ssh_keygen(text) == [key.fingerprint for key in accepted]


def test_keys_that_ssh_keygen_reads_otherwise():
    bad = Key("ssh-ed25519", GOOD[1][0].split()[1])
    with pytest.raises(Refused, match="ssh-keygen does not read"):
        AuthorizedKeys("ada", (bad,)).check(HostReader())
