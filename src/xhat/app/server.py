"""The server of the page: on 127.0.0.1 only, for the page that it served itself, with no request to any other place."""

import json
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ..errors import SpecError, XhatError
from .studio import Studio

MOST = 300_000_000  # bytes of a picture
KINDS = {".png": "image/png", ".tif": "image/tiff", ".tiff": "image/tiff"}


class Server(ThreadingHTTPServer):
    """Serves one studio at `address`; only who knows the token in it, which is drawn anew each time, is answered."""

    daemon_threads = True

    def __init__(self, studio: Studio, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.studio, self.token = studio, secrets.token_urlsafe(16)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://127.0.0.1:{self.server_port}/?token={self.token}"


class Handler(BaseHTTPRequestHandler):
    """One request. Another site in the same browser knows no token, and other names that lead here are refused."""

    server: Server

    def do_GET(self) -> None:
        """Answers with the page, a picture, or what the page asks about one."""
        self._answer("GET")

    def do_POST(self) -> None:
        """Takes a picture or a mask, starts a run or stops it."""
        self._answer("POST")

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing on the terminal."""

    def _answer(self, method: str) -> None:
        parts = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(parts.query).items()}
        hosts = {f"127.0.0.1:{self.server.server_port}", f"localhost:{self.server.server_port}"}
        given = query.get("token", self.headers.get("X-Token", ""))
        if self.headers.get("Host") not in hosts or not secrets.compare_digest(given, self.server.token):
            return self._send(HTTPStatus.FORBIDDEN, b"open the address that xhat app printed", "text/plain")
        try:
            self._route(method, parts.path, query)
        except XhatError as e:
            folder = f"{self.server.studio.folder}/"
            self._json({"error": str(e).replace(folder, "")}, HTTPStatus.BAD_REQUEST)
        except (KeyError, ValueError, TypeError) as e:
            self._json({"error": f"not understood: {e}"}, HTTPStatus.BAD_REQUEST)

    def _route(self, method: str, path: str, query: dict[str, str]) -> None:
        studio = self.server.studio
        match method, path:
            case "GET", "/":
                nonce = secrets.token_urlsafe(12)
                page = (files(__package__) / "page.html").read_text(encoding="utf-8")
                page = page.replace("{{nonce}}", nonce).replace("{{token}}", self.server.token)
                self._send(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8", nonce)
            case "GET", "/shown":
                content = BytesIO()
                studio.upright(query["name"]).save(content, "PNG", compress_level=1)
                self._send(HTTPStatus.OK, content.getvalue(), "image/png")
            case "GET", "/file":
                file = studio.path(query["name"])
                kind = KINDS.get(file.suffix, "application/octet-stream")
                self._send(HTTPStatus.OK, file.read_bytes(), kind)
            case "GET", "/progress":
                self._json(studio.run.seen() if studio.run else {})
            case "GET", "/guess":
                self._json({"guess": studio.guess(query["name"])})
            case "POST", "/picture":
                self._json(studio.add(unquote(self.headers.get("X-Name", "")), self._body()))
            case "POST", "/mask":
                self._json({"name": studio.paint(query["name"], self._body())})
            case "POST", "/start":
                studio.start(json.loads(self._body()))
                self._json({})
            case "POST", "/stop":
                if studio.run:
                    studio.run.stop = True
                self._json({})
            case _:
                self._json({"error": "nothing is here"}, HTTPStatus.NOT_FOUND)

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length", 0))
        if not 0 < length <= MOST:
            raise SpecError(f"a picture has 1 to {MOST} bytes, not {length}")
        return self.rfile.read(length)

    def _json(self, content: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str, nonce: str = "") -> None:
        own = f"script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; " if nonce else ""
        rest = "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"
        policy = f"default-src 'none'; {own}{rest}"
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", policy),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("X-Frame-Options", "DENY"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
