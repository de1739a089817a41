"""Disposable hosts: a bare server on this machine, in a network that leads nowhere."""
