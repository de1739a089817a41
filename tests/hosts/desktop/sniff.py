"""Not a test: what passes on every interface from here. Runs on a host, or in the lab's network.

    python3 -I -S sniff.py WORD ADDRESS

Says `listening`; when its input ends, how many frames had WORD in them, and how many went to
ADDRESS, whatever they said. What the host tells itself of a packet that it refused quotes
the packet, and does not count.
"""

import json
import select
import socket
import sys


EVERY_PROTOCOL = 3
IPV4, IPV6 = b"\x08\x00", b"\x86\xdd"
ICMP, ICMPV6 = 1, 58


def tells_of_an_error(frame):
    kind = frame[12:14]
    return (kind == IPV4 and frame[23] == ICMP) or (
        kind == IPV6 and frame[20] == ICMPV6
    )


def main(word, address):
    word, address = word.encode(), socket.inet_aton(address)
    with_word = to_address = 0
    with socket.socket(
        socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL)
    ) as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        print("listening", flush=True)
        while sys.stdin not in select.select([wire, sys.stdin], [], [])[0]:
            frame, (interface, *_) = wire.recvfrom(1 << 16)
            refusal = interface == "lo" and tells_of_an_error(frame)
            with_word += word in frame and not refusal
            to_address += frame[12:14] == IPV4 and frame[30:34] == address
    print(json.dumps({"word": with_word, "address": to_address}))


if __name__ == "__main__":
    main(*sys.argv[1:])
