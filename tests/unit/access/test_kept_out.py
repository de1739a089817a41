"""What keeps an account out besides sshd's own configuration, and what does not."""

import pytest

from backend_server.access.kept_out import reasons, shut
from backend_server.host.reader import HostReader


ACCESS = "/etc/security/access.conf"
PAM = "account required pam_access.so\n"
FILES = [
    ({}, []),
    ({"etc/nologin": ""}, ["/etc/nologin is there, so PAM lets in root alone"]),
    (
        {"etc/hosts.deny": "# ALL: ALL\nvsftpd: ALL\nsshd, popa3d : ALL\n"},
        ["/etc/hosts.deny:3: sshd, popa3d : ALL"],
    ),
    ({"etc/hosts.deny": "ALL: ALL\n"}, ["/etc/hosts.deny:1: ALL: ALL"]),
    ({"etc/security/access.conf": "-:ALL:ALL\n"}, []),
    (
        {
            "etc/security/access.conf": "+:root:ALL\n# -:x:ALL\n-:ALL:ALL\n",
            "etc/pam.d/sshd": "account required pam_access.so\n",
        },
        ["/etc/security/access.conf:3: -:ALL:ALL"],
    ),
    # The first line about somebody counts: pam_access(8), linux-pam/linux-pam's own example.
    *(
        ({"etc/security/access.conf": text, "etc/pam.d/sshd": PAM}, found)
        for text, found in (
            ("+:canary:ALL\n-:ALL:ALL\n", []),
            ("-:ALL EXCEPT root canary:ALL\n", []),
            (
                "-:ALL EXCEPT (wheel) root :ALL\n",
                [f"{ACCESS}:1: -:ALL EXCEPT (wheel) root :ALL"],
            ),
            ("- : canary, x : ALL\n", [f"{ACCESS}:1: - : canary, x : ALL"]),
            ("-:ALL:LOCAL\n", []),
            (
                "-:ALL:ALL EXCEPT 10.0.0.0/8\n",
                [f"{ACCESS}:1: -:ALL:ALL EXCEPT 10.0.0.0/8"],
            ),
            ("rubbish\n-\n::\n-:@net:ALL\n", []),
        )
    ),
    (
        {
            "etc/security/access.conf": "-:ALL:ALL\n",
            "etc/pam.d/sshd": "# account required pam_access.so\n",
        },
        [],
    ),
]


@pytest.mark.parametrize(("files", "found"), FILES)
def test_reasons(tmp_path, files, found):
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert [why for why, _ in reasons(HostReader(tmp_path), "canary")] == found


def test_shut(tmp_path):
    """Developers are told of what keeps them out wherever they come from."""
    for path, text in {
        "etc/pam.d/sshd": PAM,
        "etc/group": "developers:x:5:ada,grace\n",
        "etc/passwd": "ada:x:1:1::/:/bin/sh\ngrace:x:2:1::/:/bin/sh\n",
        "etc/security/access.conf": "-:ALL EXCEPT root:ALL EXCEPT 10.0.0.0/8\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert [*shut(HostReader(tmp_path), ["ada"])] == []
    (tmp_path / "etc/security/access.conf").write_text(
        "+:grace:ALL\n-:(developers):ALL\n"
    )
    (said,) = shut(HostReader(tmp_path), ["ada", "grace"])
    assert said.startswith(
        f"ada does not come in by ssh: {ACCESS}:2: -:(developers):ALL; try: "
    )
