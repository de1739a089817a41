"""Not a test: stands for Airlock at 127.0.0.1:443 of a host, and writes down what is asked of it.

Started as root with a certificate and its key. `/` shows a colour, a canary and a form; it sets a cookie, has markup in its title as some of Airlock's have,
and tries what no page of Airlock may have: images, frames, requests and scripts of elsewhere, a download.
"""

from __future__ import annotations

import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


CANARY = "canary7f3e9b"
PAGE, SAID = "#C0FFEE", "#FACADE"
ASKED = "/run/page.log"
ELSEWHERE = (
    *("http://198.51.100.10/", "https://198.51.100.10/", "http://127.0.0.1:80/"),
    *("https://127.0.0.1/", "https://another.example/", "file:///etc/passwd"),
    *(
        "https://emis.backends.opensafely.org:444/",
        "http://emis.backends.opensafely.org/",
    ),
)
TRIES = "".join(
    f'<img src="{url}i.png"><iframe src="{url}f" hidden></iframe>' for url in ELSEWHERE
)
WHOLE = f"""<!DOCTYPE html><title>Login <span class="x">now</span> | Airlock</title>
<body style="background: {PAGE}; font: 20px sans-serif"><h1>Airlock {CANARY}</h1>
<form method=post action=/said><input name=said autofocus><button>Send</button></form>
<a href="/download">Download</a>
{TRIES}<script>
fetch("/script"); localStorage.setItem("seen", "{CANARY}");
for (const url of {list(ELSEWHERE)!r}) fetch(url + "x", {{mode: "no-cors"}}).then(() => fetch("/reached?" + url), () => 0);
try {{ new WebSocket("wss://198.51.100.10/"); }} catch (e) {{}}
setTimeout(() => {{ location = "https://198.51.100.10/left"; }}, 1500);
setTimeout(() => {{ fetch("/stayed"); }}, 4000);
</script>"""


def note(*words: object) -> None:
    with open(ASKED, "a") as stream:
        print(*words, file=stream)


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(WHOLE if self.path == "/" else CANARY)

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        note("SAID", said)
        self.answer(f"<body style='background: {SAID}'><h1>{said}</h1>")

    def answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        if self.path == "/download":
            self.send_header("Content-Disposition", "attachment; filename=out.csv")
        self.send_header(
            "Set-Cookie",
            "sessionid=kept; Max-Age=4838400; Secure; HttpOnly; Path=/",
        )
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *words: object) -> None:
        note(self.path, self.headers.get("Host"), self.headers.get("Cookie"))


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 443), Page)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[1:3])
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
