"""The clock of a host below a guest, as a device in it: /dev/ptp0, told what time it is.

Runs in the guest, as root: python3 hostclock.py SECONDS. It speaks CUSE, the kernel's way to
make a character device of a program, and answers what ptp.h asks of a clock that cannot be set.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import time


NAME = "ptp0"
# fuse.h: requests that are answered, all others are refused.
CUSE_INIT, OPEN, RELEASE, IOCTL = 4096, 14, 18, 39
REQUEST = struct.Struct("=IIQQIIII")
REPLY = struct.Struct("=IiQ")
MOST = 1 << 17
# ptp.h: PTP_CLOCK_GETCAPS, PTP_SYS_OFFSET_EXTENDED.
CAPABILITIES, OFFSET = 0x80503D01, 0xC4C03D09
SAMPLES = 25


class Clock:
    """It goes on whatever the guest does to its own clock."""

    def __init__(self, now: float) -> None:
        self.base = int(now * 1e9) - time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)

    def read(self) -> int:
        return self.base + time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)

    def answer(self, opcode: int, body: bytes) -> bytes:
        """What the kernel is told. Raises OSError for what is refused."""
        if opcode == CUSE_INIT:
            major, minor = struct.unpack_from("=II", body)
            numbers = struct.pack("=4I4I10I", major, minor, 0, 0, MOST, MOST, *[0] * 12)
            return numbers + f"DEVNAME={NAME}\0".encode()
        if opcode == OPEN:
            return struct.pack("=QII", 0, 0, 0)
        if opcode == RELEASE:
            return b""
        if opcode == IOCTL:
            _, _, command, *_ = struct.unpack_from("=QIIQII", body)
            return struct.pack("=iIII", 0, 0, 0, 0) + self.told(command, body[32:])
        raise OSError(errno.ENOSYS, "not of a clock")

    def told(self, command: int, given: bytes) -> bytes:
        if command == CAPABILITIES:
            return bytes(80)
        if command != OFFSET:
            raise OSError(errno.EOPNOTSUPP, "not of this clock")
        (count,) = struct.unpack_from("=I", given)
        samples = b"".join(self.sample() for _ in range(min(count, SAMPLES)))
        return (given[:16] + samples).ljust(16 + SAMPLES * 48, b"\0")

    def sample(self) -> bytes:
        """The guest's own time before and after, and this clock's between."""
        times = time.time_ns(), self.read(), time.time_ns()
        return b"".join(struct.pack("=qII", *divmod(t, 10**9), 0) for t in times)


def serve(clock: Clock) -> None:
    device = os.open("/dev/cuse", os.O_RDWR)
    while True:
        request = os.read(device, MOST + 4096)
        _, opcode, unique, *_ = REQUEST.unpack_from(request)
        error, said = 0, b""
        try:
            said = clock.answer(opcode, request[REQUEST.size :])
        except OSError as refused:
            error = -int(refused.errno or errno.EIO)
        os.write(device, REPLY.pack(REPLY.size + len(said), error, unique) + said)


if __name__ == "__main__":
    serve(Clock(float(sys.argv[1])))
