"""A small HTTP endpoint for probes: /readyz and /livez, each 200 or 503 with one word why.

Triton's own readiness says that a model is loaded. This one says that it also gave the right first generation, and says
no as soon as the pod is asked to stop. Knows two questions and HTTP, nothing of who answers them.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[], str]  # an empty answer is yes, anything else says why not


class Readiness:
    """The endpoint, on a thread of its own until closed."""

    def __init__(self, address: str, port: int, ready: Answer, live: Answer) -> None:
        questions = {"/readyz": ready, "/livez": live}

        class Handler(BaseHTTPRequestHandler):
            timeout = 5  # seconds that a silent client may hold a thread

            def do_GET(self) -> None:  # the name that http.server calls
                question = questions.get(self.path.split("?")[0])
                why = "unknown path; there are /readyz and /livez" if question is None else question()
                body = (why or "ok").encode() + b"\n"
                self.send_response(404 if question is None else 503 if why else 200)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: probes come every few seconds."""

        self._server = ThreadingHTTPServer((address, port), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
