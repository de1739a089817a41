"""What a bare host has before services can run there: images that exist, invented secrets."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

from sandbox.images import Images
from sandbox.releases import token


TOKEN = "5a4db0c5" * 5  # of every backend, for a host may become any
SECRETS = "etc/opensafely/env/02_secrets.env"
INVENTED = f"""\
CONTROLLER_TASK_API_TOKEN={TOKEN}
PRIVATE_REPO_ACCESS_TOKEN=invented-for-reading-private-repositories
AIRLOCK_API_TOKEN={token("test")}
DEFAULT_DATABASE_URL=mssql://invented:invented@database:1433/Patients
"""


def lay_over(place: Path, images: Images) -> None:
    """Every backend of the checkout at this place runs the images that the registry has."""
    for path in place.glob("*/images.lock"):
        path.write_text(images.lock())
    # Whenever this is run, what may follow a tag may do so still.
    until = (date.today() + timedelta(days=300)).isoformat()
    for path in place.glob("*/backend.py"):
        path.write_text(re.sub(r'"20\d\d-\d\d-\d\d"', f'"{until}"', path.read_text()))


def give_secrets(root: Path) -> None:
    """The host at this root has the secrets that somebody would set by hand."""
    path = root / SECRETS
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o700)
    path.touch(0o600)
    path.write_text(INVENTED)
