"""Servers on loopback that return files only for the right credential, and record all requests."""

import base64
import pathlib
import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stage import MARK

PROPFIND = """<?xml version="1.0"?>
<d:multistatus xmlns:d="DAV:"><d:response><d:href>{path}</d:href><d:propstat><d:prop>
<d:getcontentlength>{size}</d:getcontentlength>
<d:getlastmodified>Thu, 01 Jan 2026 00:00:00 GMT</d:getlastmodified>
<d:resourcetype>{kind}</d:resourcetype>
</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>
"""
# Clients that send a password only after a 401 response.
BASIC = ("/plumes.git", "/v2/")


@dataclass
class Seen:
    path: str
    status: int
    credential: str


class Door:
    """A host: its files, its token, and the requests it received."""

    def __init__(self, files, certificate=None):
        self.files = pathlib.Path(files)
        self.token = "KANARIE-no-token-is-right"
        self.cookie = None
        self.refused = None
        self.seen = []
        handler = type("Handler", (Handler,), {"door": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if certificate:
            tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            tls.load_cert_chain(certificate)
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "https" if certificate else "http"
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def lets_in(self, headers):
        """Returns whether the request has the right token, password or cookie, or keys of a fake server."""
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            value = base64.b64decode(value).decode().partition(":")[2]
        if scheme == "AWS4-HMAC-SHA256":
            keys = value.partition("Credential=")[2].partition("/")[0]
            return keys.startswith(f"ASIA{MARK}") and MARK in headers.get("X-Amz-Security-Token", "")
        if self.refused:  # one token is rejected: any other token of the broker is right
            return MARK in value and value != self.refused
        return value == self.token or bool(self.cookie) and f"PLATFORM_ASSET={self.cookie}" in headers.get("Cookie", "")

    def let_in(self):
        return [seen for seen in self.seen if seen.status < 300 and seen.credential]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door = None

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        credential = self.headers.get("Authorization", "") or self.headers.get("Cookie", "")
        self.door.seen.append(Seen(self.path, status, credential))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def file(self):
        """Returns the requested bytes, or None after an error response."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        if not self.door.lets_in(self.headers):
            scheme = "Basic" if path.startswith(BASIC) else "Bearer"
            return self.answer(401, b"no", WWW_Authenticate=f'{scheme} realm="doors"')
        file = self.door.files / path.lstrip("/")
        file = file / "index" if file.is_dir() else file
        if not file.is_file():
            return self.answer(404, b"not found")
        return file.read_bytes().replace(b"HOST", f"{self.door.scheme}://{self.headers['Host']}".encode())

    def do_GET(self):
        body = self.file()
        if body is None:
            return
        kinds = {b"{": "application/json", b"<": "text/html"}
        kind = kinds.get(body[:1], "application/octet-stream")
        if "/manifests/" in self.path:
            kind = "application/vnd.docker.distribution.manifest.v2+json"
        headers = {"Content_Type": kind, "Accept_Ranges": "bytes"}
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            return self.answer(200, body, **headers)
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        first, last = int(first), min(int(last or len(body) - 1), len(body) - 1)
        if first > last:
            return self.answer(416, Content_Range=f"bytes */{len(body)}")
        self.answer(206, body[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(body)}", **headers)

    do_HEAD = do_POST = do_GET

    def do_PROPFIND(self):
        path = self.path
        body = b"" if path.endswith("/") else self.file()
        if body is not None:
            kind = "<d:collection/>" if path.endswith("/") else ""
            text = PROPFIND.format(path=path, size=len(body), kind=kind)
            self.answer(207, text.encode(), Content_Type="text/xml")
