"""How PAM judges passwords: the order of its lines, on which everything depends."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from backend_server.access import pam_profiles
from backend_server.host.writer import Host
from backend_server.resources import PamProfile
from backend_server.text.errors import UserError
from backend_server.text.releases import RELEASES, named


def modules(text):
    """`auth` lines in order: control, module, first argument."""
    lines = [line.split() for line in text.splitlines() if line.startswith("auth ")]
    return [(control, module, *rest[:1]) for _, control, module, *rest in lines]


def test_each_profile_says_its_line():
    for name, text, line in pam_profiles.LOCKOUT:
        kind, _, rest = line.partition(" ")
        assert (kind, text.endswith(f"\nAuth:\n\t{rest}\n")) == ("auth", True), name


def test_before_and_after_what_the_distribution_judges():
    """pam_unix has priority 256, and whoever comes first and last around it is ours."""
    found = {
        name: dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        for name, text, _ in pam_profiles.LOCKOUT
    }
    kinds = {name: fields["Auth-Type"] for name, fields in found.items()}
    assert kinds == {
        "opensafely-right": "Additional",
        "opensafely-locked": "Primary",
        "opensafely-wrong": "Primary",
    }
    assert int(found["opensafely-locked"]["Priority"]) > 256
    assert int(found["opensafely-wrong"]["Priority"]) == 0


BOOKWORM = named("bookworm").xrdp
ETC = Path(__file__).parents[3] / "etc"


def xrdp(second_factor, version):
    site = SimpleNamespace(
        backend=SimpleNamespace(second_factor=second_factor),
        release=SimpleNamespace(xrdp=version),
        etc={pam_profiles.XRDP: (ETC / "pam.d/xrdp-sesman").read_text()},
    )
    return pam_profiles.xrdp(site)


@pytest.mark.parametrize("second_factor", [False, True])
def test_the_group_is_asked_for_first_in_both(second_factor):
    lines = xrdp(second_factor, BOOKWORM).splitlines()
    asks = "requisite pam_succeed_if.so quiet_success user ingroup reviewers"
    for kind in ("auth", "account"):
        of_kind = [line for line in lines if line.startswith(f"{kind} ")]
        assert of_kind[0] == f"{kind} {asks}"


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_a_session_is_walled_off_last(release):
    """After what asks logind and others for it; sockets before the folders are its own."""
    lines = xrdp(False, release.xrdp).splitlines()
    last = lines.index("@include common-session") + 1
    found = [line.split()[2] for line in lines[last:] if line.startswith("session ")]
    network = ["pam_newnet.so"] if release.xrdp.pam_net else []
    assert found == ["pam_exec.so", *network, "pam_namespace.so"]


def test_a_code_is_judged_before_the_password_and_counted():
    first, *codes, environment = modules(xrdp(True, BOOKWORM))
    assert first[1] == "pam_succeed_if.so"
    assert environment[1] == "pam_env.so"
    assert codes == [
        ("requisite", "pam_faillock.so", "preauth"),
        ("[success=1", "default=ignore]", "pam_google_authenticator.so"),
        ("[default=die]", "pam_faillock.so", "authfail"),
    ]
    assert "google" not in xrdp(False, BOOKWORM)


@pytest.mark.parametrize("there", [False, True])
def test_a_profile_is_not_laid_where_its_module_is_missing(tmp_path, there):
    """As on an Ubuntu 20.04 that was never updated: it would refuse everybody."""
    name, text, line = pam_profiles.LOCKOUT[0]
    profile, host = (
        PamProfile(name, text, line, used_in=pam_profiles.AUTH),
        Host(tmp_path),
    )
    folder = tmp_path / "lib/x86_64-linux-gnu/security"
    folder.mkdir(parents=True)
    if there:
        (tmp_path / "etc").mkdir()
        (tmp_path / "etc/passwd").write_text(f"root:x:{os.getuid()}:0::/root:/bin/sh\n")
        (tmp_path / "etc/group").write_text(f"root:x:{os.getgid()}:\n")
        (folder / "pam_faillock.so").touch()
        host.run = lambda *argv: argv
        profile.apply(host, profile.check(host))
    else:
        with pytest.raises(UserError, match="pam_faillock.so is not on this host"):
            profile.apply(host, profile.check(host))
    assert (tmp_path / "usr/share/pam-configs").exists() == there
