"""What keeps an account out besides sshd's own configuration, and what does not."""

import pytest

from backend_server.access.kept_out import reasons
from backend_server.host.reader import HostReader


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
