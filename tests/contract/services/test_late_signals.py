"""What comes too late to stop a trial is held back, whoever else looks at what meanwhile."""

import os
import signal
import time

import pytest

from backend_server.services import following


pytestmark = pytest.mark.share("outputs")


def test_a_signal_waits_for_the_thread_that_holds_it_back(monkeypatch):
    """And does not go to the one that looks at the controller, for Python would act on it."""
    monkeypatch.setattr(following, "_away", lambda site: "")
    heard = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    with following._watched(None):
        time.sleep(0.2)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
        assert heard == []
        assert signal.SIGTERM in signal.sigpending()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    assert heard == [signal.SIGTERM]
