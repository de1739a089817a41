"""Not a test: takes a port as soon as whoever has it lets go. Runs as a person.

    python3 -I -S grab_port.py 'PORT PORT'

Says `trying`, then `has PORT`, and keeps it until it is ended.
"""

import contextlib
import socket
import sys
import time


PLACES = ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET, "127.0.0.1"))
PLACES6 = ((socket.AF_INET6, "::"), (socket.AF_INET6, "::1"))


def main(ports):
    print("trying", flush=True)
    while True:
        for port in map(int, ports.split()):
            for family, address in PLACES + PLACES6:
                with contextlib.suppress(OSError), socket.socket(family) as taken:
                    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    taken.bind((address, port))
                    taken.listen()
                    print(f"has {port}", flush=True)
                    time.sleep(600)
        time.sleep(0.001)


if __name__ == "__main__":
    main(*sys.argv[1:])
