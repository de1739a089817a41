"""What this repository says: a backend, what runs on it, and the site that is made of all."""

from backend_server.checkout.backend import Airlock, Backend, Follow, Share
from backend_server.checkout.gather import Site
from backend_server.checkout.images import DIGEST
from backend_server.checkout.service import Service
