"""Not a test: prints the titles of all windows of a display, as its window manager knows them."""

import ctypes


x = ctypes.CDLL("libX11.so.6")
x.XOpenDisplay.restype = ctypes.c_void_p
x.XDefaultRootWindow.restype = x.XInternAtom.restype = ctypes.c_ulong
display = ctypes.c_void_p(x.XOpenDisplay(None))
name = ctypes.c_ulong(x.XInternAtom(display, b"_NET_WM_NAME", 0))


def title(window):
    """Of XGetWindowProperty(3): the bytes are the last of what it gives."""
    kind, left, count = (ctypes.c_ulong() for _ in range(3))
    size, found = ctypes.c_int(), ctypes.c_char_p()
    what = (display, window, name, ctypes.c_long(0), ctypes.c_long(999), 0)
    given = map(ctypes.byref, (kind, size, count, left, found))
    x.XGetWindowProperty(*what, ctypes.c_ulong(0), *given)
    return (found.value or b"").decode()


def below(window):
    yield window
    root, parent, first = (
        ctypes.c_ulong(),
        ctypes.c_ulong(),
        ctypes.POINTER(ctypes.c_ulong)(),
    )
    count = ctypes.c_uint()
    given = map(ctypes.byref, (root, parent, first, count))
    x.XQueryTree(display, window, *given)
    for number in range(count.value):
        yield from below(ctypes.c_ulong(first[number]))


for each in below(ctypes.c_ulong(x.XDefaultRootWindow(display))):
    if title(each):
        print(title(each))
