"""A checkout with invented people, and what a backend declares from it."""

import base64
import shutil
import struct
from datetime import date
from pathlib import Path

from backend_server.checkout.gather import gather
from backend_server.run.place import load, services_of
from backend_server.text.releases import named


ROOT = Path(__file__).parents[2]
BACKENDS = [
    path.parent.name
    for path in sorted(ROOT.glob("*/backend.py"))
    if path.parent.name != "backend_server"
]
TODAY = date(2027, 1, 15)
CHECKOUT = "/srv/backend-server"
ROSTERS = {"developers": "ada\ngrace\n", "researchers": "rita\n", "reviewers": "gus\n"}


def public_key(name):
    """A key that nobody holds the other half of."""
    point = name.encode().ljust(32, b"-")
    blob = b"".join(struct.pack(">I", len(p)) + p for p in (b"ssh-ed25519", point))
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {name}@laptop\n"


def checkout_of(name, place):
    """PLACE has what the checkout of this backend needs, and people on its rosters."""
    for folder in ("etc", "packages", name):
        shutil.copytree(ROOT / folder, place / folder)
    (place / "backend_server").mkdir()
    (place / "backend_server/entry.py").write_text("# judges the checkout\n")
    for roster in load(name, ROOT).rosters:
        path = place / (roster if roster == "developers" else f"{name}/{roster}")
        path.write_text(ROSTERS[roster])
        for person in ROSTERS[roster].split():
            (place / "keys").mkdir(exist_ok=True)
            (place / "keys" / person).write_text(public_key(person))
    return place


def site_of(name, release, place):
    """All that the declaration of this backend depends on, as on its host."""
    checkout = checkout_of(name, place)
    found = gather(load(name, checkout), named(release), checkout, TODAY)
    return found._replace(checkout=CHECKOUT, services=services_of(found.backend))
