"""One run at a time."""

import os
import threading

import pytest

from backend_server.engine.lock import NARROW, only_run, under_way
from backend_server.text.errors import Refused


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run" / "lock")


def tries(path):
    with only_run("grace", path):
        raise AssertionError("two runs at once")


def test_whoever_comes_second_is_told_who_is_first_and_since_when(path):
    with only_run("ada with pid 1, since noon", path), pytest.raises(
        Refused
    ) as refused:
        tries(path)
    assert str(refused.value) == "another run is under way: ada with pid 1, since noon"
    assert refused.value.hint


def test_it_is_free_again_afterwards_even_after_a_failure(path):
    with pytest.raises(ZeroDivisionError), only_run("a longer holder", path):
        raise ZeroDivisionError
    with only_run("ada", path), pytest.raises(Refused, match="under way: ada$"):
        tries(path)


def test_the_one_who_was_refused_does_not_set_it_free(path):
    with only_run("ada", path):
        for _ in range(3):
            with pytest.raises(Refused):
                tries(path)


def test_the_timers_run_is_waited_for(path):
    """It is soon over, and nobody who comes at a quarter past should have to come again."""
    timer = only_run(f"{NARROW}, since noon", path)
    timer.__enter__()
    threading.Timer(0.3, timer.__exit__, (None, None, None)).start()
    with only_run("ada", path):
        pass


def test_whoever_has_it_and_has_yet_to_say_so_is_somebody(path):
    with only_run("ada", path):
        os.truncate(path, 0)
        assert under_way(path) == "a run that has just begun"
    assert under_way(path) == ""


def test_nobody_else_can_take_the_lock(path):
    old = os.umask(0)
    try:
        with only_run("ada", path):
            assert os.stat(path).st_mode & 0o077 == 0
            assert os.stat(os.path.dirname(path)).st_mode & 0o022 == 0
    finally:
        os.umask(old)


def test_a_link_in_its_place_is_not_followed(path, tmp_path):
    os.mkdir(os.path.dirname(path))
    (tmp_path / "precious").write_text("precious")
    os.symlink(tmp_path / "precious", path)
    with pytest.raises(OSError, match="symbolic links"), only_run("ada", path):
        pass
    assert (tmp_path / "precious").read_text() == "precious"
