"""Plays Google Cloud Storage's XML API strictly, on loopback, and keeps each object as a file.

usage: gcs.py FOLDER BUCKET EMAIL PUBLICKEY

Prints its port. Every request must have a token that the service account has signed for the store, and that has not
expired; what the request asks must be what the real store knows. Each line on standard input is a folder to copy all
objects to.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import subprocess
import sys
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

FOLDER, BUCKET, EMAIL, PUBLIC = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
SCOPES = ("https://www.googleapis.com/auth/devstorage.full_control", "https://www.googleapis.com/auth/cloud-platform")
PAGE = 50
tokens = {}
objects = {}
generations = 0
lock = threading.Lock()


def path(name):
    return FOLDER / hashlib.sha256(name.encode()).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = True

    def error(self, status, code):
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self.answer(status, body, [("content-type", "application/xml")])

    def body(self):
        length = self.headers.get("content-length")
        return self.rfile.read(int(length)) if length else b""

    def is_allowed(self):
        """Whether the request has a token that the service account has signed, and that is good now."""
        kind, _, token = (self.headers.get("authorization") or "").partition(" ")
        if kind != "Bearer" or token.count(".") != 2:
            return False
        if token not in tokens:
            read = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
            head, claims, signature = token.split(".")
            (FOLDER / "signature").write_bytes(read(signature))
            verify = ["openssl", "dgst", "-sha256", "-verify", PUBLIC, "-signature", str(FOLDER / "signature")]
            signed = subprocess.run(verify, input=f"{head}.{claims}".encode(), capture_output=True).returncode == 0
            claims = json.loads(read(claims))
            good = signed and json.loads(read(head))["alg"] == "RS256" and claims["iss"] == EMAIL
            tokens[token] = claims["exp"] if good and claims["scope"] in SCOPES else 0
        return tokens[token] > time.time()

    def handle_one(self):
        url = urllib.parse.urlsplit(self.path)
        body = self.body()
        with lock:
            if not self.is_allowed():
                return self.error(401, "AuthenticationRequired")
        parts = url.path.split("/", 2)
        if urllib.parse.unquote(parts[1]) != BUCKET:
            return self.error(404, "NoSuchBucket")
        name = urllib.parse.unquote(parts[2]) if len(parts) > 2 else ""
        with lock:
            if not name and self.command == "GET":
                return self.list(dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)))
            if name and not url.query:
                return getattr(self, "object_" + self.command.lower())(name, body)
        self.error(400, "InvalidArgument")

    def object_put(self, name, body):
        global generations
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is not None and str(objects.get(name, 0)) != wanted:
            return self.error(412, "PreconditionFailed")
        part = path(name).with_suffix(".part")
        part.write_bytes(body)
        part.rename(path(name))
        generations += 1
        objects[name] = generations
        self.answer(200, b"", self.headers_of(name))

    def object_get(self, name, _):
        if name not in objects:
            return self.error(404, "NoSuchKey")
        self.answer(200, path(name).read_bytes(), self.headers_of(name))

    def object_head(self, name, _):
        if name not in objects:
            return self.error(404, "NoSuchKey")
        self.answer(200, path(name).read_bytes(), self.headers_of(name))

    def object_delete(self, name, _):
        if objects.pop(name, None) is None:
            return self.error(404, "NoSuchKey")
        path(name).unlink()
        self.answer(204)

    def headers_of(self, name):
        return [
            ("etag", f'"{objects[name]}"'),
            ("x-goog-generation", str(objects[name])),
            ("last-modified", self.date_time_string(path(name).stat().st_mtime)),
        ]

    def list(self, query):
        if query.pop("list-type", None) != "2":
            return self.error(400, "InvalidArgument")
        prefix, delimiter = query.pop("prefix", ""), query.pop("delimiter", None)
        after = query.pop("continuation-token", None) or query.pop("start-after", "")
        query.pop("start-after", None)
        most = min(int(query.pop("max-keys", PAGE)), PAGE)
        if query:
            return self.error(400, "InvalidArgument")
        names = [name for name in sorted(objects) if name.startswith(prefix) and name > after]
        common = set()
        if delimiter:
            common = {prefix + name[len(prefix):].split(delimiter)[0] + delimiter for name in names if delimiter in name[len(prefix):]}
            names = [name for name in names if delimiter not in name[len(prefix):]]
        page, rest = names[:most], names[most:]
        entry = lambda name: (
            f"<Contents><Key>{escape(name)}</Key><Size>{path(name).stat().st_size}</Size><ETag>\"{objects[name]}\"</ETag>"
            f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(path(name).stat().st_mtime))}</LastModified></Contents>"
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if rest else ""
        prefixes = "".join(f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>" for name in sorted(common))
        body = f"<?xml version='1.0'?><ListBucketResult>{''.join(map(entry, page))}{prefixes}{token}</ListBucketResult>"
        self.answer(200, body.encode(), [("content-type", "application/xml")])

    def handle_safely(self):
        try:
            self.handle_one()
        except (KeyError, ValueError, AttributeError) as wrong:
            self.error(400, type(wrong).__name__)

    do_GET = do_HEAD = do_PUT = do_DELETE = handle_safely


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
for line in sys.stdin:
    with lock:
        target = pathlib.Path(line.strip())
        for name in objects:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes(path(name).read_bytes())
    print("copied", flush=True)
