"""Unit tests start no program: what they need of a host, they make up."""

import os
import subprocess

import pytest


STARTERS = [
    name
    for name in dir(os)
    if name.startswith(("exec", "posix_spawn", "spawn")) or name == "system"
]


@pytest.fixture(autouse=True)
def no_programs(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError(f"a unit test started a program: {args} {kwargs}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for name in STARTERS:
        monkeypatch.setattr(os, name, refuse)
