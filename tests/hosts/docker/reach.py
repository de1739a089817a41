"""Not a test: what can be reached from here. Runs on a host, in the network of a container.

    nsenter --net -t PID python3 -I -S reach.py PLACE…

A PLACE is tcp:ADDRESS:PORT, where somebody has to accept, or udp:ADDRESS:PORT, where something
has to come back. Those that are reached are printed, one a line.
"""

import socket
import sys
import threading


DEADLINE_S = 1.5
# Asks for example.org: what echoes it, and what answers, is there.
QUESTION = b"\x12\x34\x01\x00\x00\x01\0\0\0\0\0\0\x07example\x03org\0\0\x01\0\x01"


def reached(place):
    kind, _, rest = place.partition(":")
    address, _, port = rest.rpartition(":")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    stream = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, stream) as connection:
        connection.settimeout(DEADLINE_S)
        try:
            connection.connect((address, int(port)))
            if kind == "udp":
                connection.send(QUESTION)
                answer = connection.recv(512)
                # A name server that says it could not find out has not found out.
                return answer == QUESTION or not answer[3] & 0xF
        except OSError:
            return False
    return True


def tell(place):
    if reached(place):
        print(place, flush=True)


if __name__ == "__main__":
    threads = [threading.Thread(target=tell, args=(place,)) for place in sys.argv[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
