"""Not a test: a name server that knows no name, and says what it was asked.

python3 -I -S questions.py ADDRESS
"""

import contextlib
import socket
import sys


NO_SUCH_NAME = 0x8183.to_bytes(2, "big")


def name_in(question):
    labels, at = [], 12
    while question[at]:
        size = question[at]
        labels.append(question[at + 1 : at + 1 + size].decode("ascii", "replace"))
        at += 1 + size
    return ".".join(labels)


def main(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        print("listening", flush=True)
        while True:
            question, asker = server.recvfrom(512)
            with contextlib.suppress(IndexError):  # a word that is no question
                print(name_in(question), flush=True)
                server.sendto(question[:2] + NO_SUCH_NAME + question[4:], asker)


if __name__ == "__main__":
    main(*sys.argv[1:])
