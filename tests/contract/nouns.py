"""Every noun of the tool by its name, whichever room it stands in. Imported here, and run on hosts."""

import importlib
import pkgutil

import backend_server
from backend_server.engine.resource import Resource


ENGINE = "backend_server.engine."  # of which others are made


def nouns():
    """Not what others are made of, which checks nothing, and what only asks, which changes nothing."""
    for module in pkgutil.walk_packages(backend_server.__path__, "backend_server."):
        if not module.name.endswith((".entry", ".probe")):
            importlib.import_module(module.name)
    whole = (n for n in _below(Resource) if not n.__module__.startswith(ENGINE))
    return {n.__name__: n for n in whole if n.apply is not Resource.apply}


def _below(noun):
    for each in noun.__subclasses__():
        if each.__module__.startswith("backend_server."):
            yield each
        yield from _below(each)
