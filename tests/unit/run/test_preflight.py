"""A checkout that units and shells can name."""

from pathlib import Path

import pytest

from backend_server.run.place import plain_path
from backend_server.text.errors import Refused


pytestmark = pytest.mark.share("in force")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("/srv/backend server", "mv '/srv/backend server' /srv/backend-server"),
        ("/srv/b%h$x", "mv '/srv/b%h$x' /srv/b-h-x"),
        ("/srv/it's", "mv '/srv/it'\"'\"'s' /srv/it-s"),
        ("/srv/a\nb", "mv '/srv/a\nb' /srv/a-b"),
        ('/srv/"q"\\x', "mv '/srv/\"q\"\\x' /srv/-q-x"),
    ],
    ids=ascii,
)
def test_a_path_that_means_something_else(path, hint):
    """findings/in-force/22-checkout-path: systemd/systemd#2132, mikkelchokolate/Veil#241."""
    with pytest.raises(Refused) as refused:
        plain_path(Path(path))
    assert refused.value.hint == f"mkdir -p /srv && {hint}"


def test_paths_that_are_plain():
    plain_path(Path("/srv/backend-server"))
    plain_path(Path("/opt/a_b/c+d@2.0"))
