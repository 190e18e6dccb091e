"""An issuer for oidc-agent: `issuer.py TOKEN` prints its URL as JSON, and returns that token for any refresh token.

It ends with its standard input, and so with its parent process.
"""

import http.server
import json
import os
import sys
import threading


class Issuer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = self.server.url
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri", "registration_endpoint")
        metadata = {"issuer": url, **{name: f"{url}/{name}" for name in names}}
        metadata["scopes_supported"] = ["openid", "offline_access"]
        self.answer({**metadata, "grant_types_supported": ["refresh_token"], "response_types_supported": ["code"]})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        response = {"access_token": sys.argv[1], "token_type": "Bearer", "expires_in": 86400}
        self.answer({**response, "refresh_token": "bench", "scope": "openid offline_access"})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


server = http.server.HTTPServer(("127.0.0.1", 0), Issuer)
server.url = f"http://127.0.0.1:{server.server_port}"
threading.Thread(target=end_with_stdin, daemon=True).start()
print(json.dumps({"url": server.url}), flush=True)
server.serve_forever()
