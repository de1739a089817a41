"""Not a test: a channel server of a reviewer's own, in place of xrdp-chansrv. Runs on a host.

    python3 -I -S chansrv.py SOCKET TEXT

xrdp connects to SOCKET when somebody comes to the session. This says everything to the client
that a channel server may say, whatever channels xrdp tells it of, and claims the client's
clipboard for TEXT. It prints a line for each channel that a client answers on, and what is
on the client's clipboard.

Messages between the two have a version, their length, a number and their length again; those
of channels a channel, flags, and lengths besides ([MS-RDPECLIP], [MS-RDPEFS], [MS-RDPEA]).
"""

import os
import socket
import struct
import sys


CHANNELS = range(8)  # more than a client asks for
INIT, SETUP, DATA, OPENED = 1, 3, 5, 13  # from xrdp
SAID, OPEN = 8, 12  # to xrdp
WHOLE = 3  # the first fragment of a message, and the last
UNICODE_TEXT = 13
MONITOR_READY, FORMATS, TAKEN, ASKED, GIVEN, ABILITIES = 1, 2, 3, 4, 5, 7

# What opens each protocol: a client that hears it has to answer.
FILES = struct.pack("<HHHHI", 0x4472, 0x496E, 1, 12, 1)
PCM = struct.pack("<HHIIHHH", 1, 2, 44100, 176400, 4, 16, 0)
SOUND_BODY = struct.pack("<IIIHHBHB", 0, 0, 0, 0, 1, 0, 2, 0) + PCM
SOUND = struct.pack("<BBH", 7, 0, len(SOUND_BODY)) + SOUND_BODY
DYNAMIC = b"anything"


def clip(kind, data=b"", flags=0):
    return struct.pack("<HHI", kind, flags, len(data)) + data


LONG_NAMES = struct.pack("<HHHHII", 1, 0, 1, 12, 2, 2)
TEXT_ALONE = struct.pack("<I", UNICODE_TEXT) + b"\0\0"
GREETINGS = {
    b"cliprdr": (clip(ABILITIES, LONG_NAMES), clip(MONITOR_READY)),
    b"rdpdr": (FILES,),
    b"rdpsnd": (SOUND,),
}


def channels(setup):
    """By number, the name that the client gave it."""
    for start in range(2, 2 + 12 * struct.unpack_from("<H", setup)[0], 12):
        name, number, _ = struct.unpack_from("<8sHH", setup, start)
        yield number, name.rstrip(b"\0")


class Server:
    def __init__(self, connection, text):
        self.connection, self.text, self.told = connection, text, set()

    def serve(self):
        while True:
            header = self.read(8)
            if not header:
                return
            body = self.read(struct.unpack("<II", header)[1] - 8)
            kind = struct.unpack_from("<I", body)[0]
            self.hear(kind, body[8:])

    def read(self, size):
        data = b""
        while len(data) < size:
            more = self.connection.recv(size - len(data))
            if not more:
                return b""
            data += more
        return data

    def write(self, kind, body=b""):
        size = 8 + len(body)
        self.connection.sendall(struct.pack("<IIII", 0, 8 + size, kind, size) + body)

    def say(self, channel, data):
        size = len(data)
        self.write(SAID, struct.pack("<HHHI", channel, WHOLE, size, size) + data)

    def hear(self, kind, body):
        if kind in (INIT, SETUP, DATA):
            self.write(kind + 1)
        if kind == SETUP:
            self.greet(dict(channels(body)))
            self.open_dynamic()
        elif kind == OPENED:
            self.tell("answers on a dynamic channel")
        elif kind == DATA:
            channel, _, _, _ = struct.unpack_from("<HHHI", body)
            self.answer(channel, body[10:])

    def greet(self, known):
        """A client that hears the wrong protocol hangs up; unnamed channels hear them all."""
        self.tell("xrdp has told of its channels")
        for channel in CHANNELS:
            name = known.get(channel)
            for greeting in [GREETINGS.get(name, ())] if name else GREETINGS.values():
                for message in greeting:
                    self.say(channel, message)

    def open_dynamic(self):
        name = struct.pack("<I", len(DYNAMIC)) + DYNAMIC
        self.write(OPEN, name + struct.pack("<II", 1, 1))

    def answer(self, channel, data):
        kind = struct.unpack_from("<H", data)[0]
        if kind == 0x4472:
            self.tell("answers on the channel of drives and printers")
        elif (
            kind & 0xFF == 7
            and len(data) > 16
            and data[1] == 0
            and data[4:6] != b"\1\0"
        ):
            self.tell("answers on the channel of sound")
        else:
            self.clipboard(channel, kind, data[8:])

    def clipboard(self, channel, kind, data):
        self.tell("answers on the channel of the clipboard")
        if kind == FORMATS:
            self.say(channel, clip(TAKEN, flags=1))
            self.say(channel, clip(ASKED, struct.pack("<I", UNICODE_TEXT)))
        elif kind == GIVEN and data.strip(
            b"\0"
        ):  # else one who copies now comes too late
            text = data.decode("utf-16-le", "replace").rstrip("\0")
            self.tell(f"the client's clipboard: {text}")
            self.open_dynamic()  # by now the client has agreed to those
            self.say(channel, clip(FORMATS, TEXT_ALONE))
        elif kind == ASKED:
            self.say(channel, clip(GIVEN, f"{self.text}\0".encode("utf-16-le"), 1))

    def tell(self, line):
        if line not in self.told:
            self.told.add(line)
            print(line, flush=True)


def main(path, text):
    if os.path.exists(path):
        os.remove(path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        os.chmod(path, 0o660)  # the folder gives it xrdp's group
        listening.listen()
        print("listening", flush=True)
        Server(listening.accept()[0], text).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
