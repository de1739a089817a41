"""Not a test: listens as somebody on a host, or calls from elsewhere, plainly or with a key.

    python3 -I -S calling.py listen WORD PORT CALLER CALLER6
    python3 -I -S calling.py call WORD NUMBER KIND,ADDRESS,PORT …
    python3 -I -S calling.py join WORD LINK
    python3 -I -S calling.py sniff WORD

KIND is tcp, md5, udp or ping. Who listens hands WORD to whoever connects: over TCP, on IPv4 and IPv6, on PORT; on the port
after it with TCP_MD5SIG, in a queue so short that the kernel answers with cookies, which have
no owner, as what is sent after a close has none; and over UDP to whoever asks. Who calls
prints each place that gave them the word, and waits until NUMBER have, and a while for more. Who joins does so with groups whose addresses have
the word in them, or its first three letters; who sniffs prints how often such an address came by.
"""

import contextlib
import selectors
import socket
import struct
import sys
import threading
import time


MD5SIG = 14
READ = selectors.EVENT_READ
PATIENCE_S = 20
MORE_S = 2.5  # a connection that was not heard is tried again after a second
ANYWHERE = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


def key_for(connection, peer):
    """What comes from or goes to PEER has to be signed; the kernel's own refusals are not."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    address = socket.inet_pton(family, peer)
    place = struct.pack("=HH", family, 0) + b"\0" * 4 * (family != socket.AF_INET)
    option = (place + address).ljust(128, b"\0") + struct.pack("=BBHi", 0, 0, 3, 0)
    connection.setsockopt(socket.IPPROTO_TCP, MD5SIG, option + b"key".ljust(80, b"\0"))


def stream(family, port, backlog, peer=""):
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if peer:
        key_for(server, peer)
    server.bind((ANYWHERE[family], port))
    server.listen(backlog)
    return server


def serve(server, word):
    while True:
        connection = server.accept()[0]
        with contextlib.suppress(OSError):
            connection.send(word)
        time.sleep(0.3)
        connection.close()


def answer(server, word):
    while True:
        with contextlib.suppress(OSError):
            server.sendto(word, server.recvfrom(100)[1])


def listen(word, port, *callers):
    # What one's own name can say in a list of who listens.
    with open("/proc/self/comm", "wb") as name:
        name.write(b"\ntcp  x:1 y:*")
    for peer in callers:
        family = socket.AF_INET6 if ":" in peer else socket.AF_INET
        for server in (stream(family, port, 100), stream(family, port + 1, 0, peer)):
            threading.Thread(target=serve, args=(server, word), daemon=True).start()
        asked = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            asked.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        asked.bind((ANYWHERE[family], port))
        threading.Thread(target=answer, args=(asked, word), daemon=True).start()
    print("listening", flush=True)
    sys.stdin.read()


def checked(data):
    """An ICMP packet with its checksum, which for IPv6 the kernel sees to."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return data[:2] + struct.pack(">H", total) + data[4:]


def ping(family, address, word):
    four = family == socket.AF_INET
    protocol = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
    connection = socket.socket(family, socket.SOCK_RAW, protocol)
    head = bytes([8 if four else 128, 0, 0, 0, 0, 0, 0, 1])
    connection.sendto(checked(head + word), (address, 0))
    return connection


def call(word, number, *places):
    """Four at once with a key, since the first fill the queue."""
    missing = int(number)
    selector = selectors.DefaultSelector()
    for place in places:
        kind, address, port = place.split(",")
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if kind == "ping":
            selector.register(ping(family, address, word), READ, place)
            continue
        for _ in range(4 if kind == "md5" else 1):
            way = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
            connection = socket.socket(family, way)
            if kind == "md5":
                key_for(connection, address)
            connection.setblocking(False)
            with contextlib.suppress(OSError):
                connection.connect((address, int(port)))
                if kind == "udp":
                    connection.send(b"?")
            selector.register(connection, READ, place)
    answered, began = set(), time.monotonic()
    more_until = began + MORE_S
    while selector.get_map() and time.monotonic() < more_until:
        for key, _ in selector.select(0.2):
            with contextlib.suppress(OSError):
                if word in key.fileobj.recv(100):
                    print(key.data, flush=True)
                    answered.add(key.data)
            selector.unregister(key.fileobj)
        if len(answered) < missing:
            more_until = min(began + PATIENCE_S, time.monotonic() + MORE_S)


def groups(word):
    return b"\xef" + word[:3], b"\xff\x0e\0\0" + word


def join(word, link):
    four, six = groups(word)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(
        socket.AF_INET6, socket.SOCK_DGRAM
    ) as other:
        one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, four + b"\0" * 4)
        index = struct.pack("=I", socket.if_nametoindex(link))
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, six + index)
        time.sleep(MORE_S / 2)  # it tells of it at once, and once more


def sniff(word):
    """Until it has no input any more."""
    every_kind = socket.htons(3)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, every_kind) as wire:
        print("listening", flush=True)
        seen = dict.fromkeys(groups(word), 0)
        with selectors.DefaultSelector() as selector:
            selector.register(wire, READ)
            selector.register(sys.stdin, READ)
            while sys.stdin not in {k.fileobj for k, _ in selector.select()}:
                frame = wire.recv(2000)
                seen = {group: n + (group in frame) for group, n in seen.items()}
    print(*seen.values())


if __name__ == "__main__":
    what, text, *rest = sys.argv[1:]
    if what == "listen":
        listen(text.encode(), int(rest[0]), *rest[1:])
    else:
        {"call": call, "join": join, "sniff": sniff}[what](text.encode(), *rest)
