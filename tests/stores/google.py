"""Google's interface of objects (its XML API), over a store of S3, whose requests it resembles.

The emulators in package registries have Google's other interface alone. Here, names of headers and numbers of generations are
translated, and requests are signed; objects, parts, listings and conditions are those of the store behind.
"""

import http.client
import http.server
import socketserver
import threading
import urllib.parse

import s3

TOKEN = "hush-of-google"
PREFIXES = {"x-goog-meta-": "x-amz-meta-", "x-goog-copy-source": "x-amz-copy-source"}
KEPT = ("range", "if-match", "if-none-match", "content-type")


class Google:
    """Listens on a port of its own. Whoever has not the token is refused."""

    def __init__(self, target):
        self.target, self.lock = target, threading.Lock()
        # The number of each object's content, by path and tag, and the other way around.
        self.generations, self.tags = {}, {}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            google = self

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, content = self.google.ask(self.command, self.path, self.headers, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads, request_queue_size = True, 64

            def handle_error(self, *_):
                pass  # its clients are killed

        server = Server(("127.0.0.1", 0), Handler)
        self.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def generation(self, path, tag):
        with self.lock:
            number = self.generations.setdefault((path, tag), str(len(self.generations) + 1))
            self.tags[path, number] = tag
        return number

    def ask(self, method, target, headers, body):
        """Status, headers and content of the answer to a request."""
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"Content-Length": "0"}, b""
        target = urllib.parse.urlsplit(target)
        path = urllib.parse.unquote(target.path)
        query = sorted(urllib.parse.parse_qsl(target.query, keep_blank_values=True))
        query = urllib.parse.urlencode(query, quote_via=urllib.parse.quote, safe="~")
        sent = {name.lower(): value for name, value in headers.items() if name.lower() in KEPT}
        for name, value in headers.items():
            for prefix, of_s3 in PREFIXES.items():
                if name.lower().startswith(prefix):
                    sent[of_s3 + name.lower()[len(prefix) :]] = value
        expected = headers.get("x-goog-if-generation-match")
        if expected == "0":
            sent["if-none-match"] = "*"
        elif expected:
            # Ceph 16 compares tags without their quotes.
            sent["if-match"] = self.tags.get((path, expected), "none").strip('"')
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        quoted = urllib.parse.quote(path) + (f"?{query}" if query else "")
        signed = s3.signed(self.target, method, path, content=body, query=query, more=sent)
        connection.request(method, quoted, body=body or None, headers=signed)
        response = connection.getresponse()
        content = response.read()
        answer = {name.replace("x-amz-meta-", "x-goog-meta-"): value for name, value in response.getheaders()}
        answer = {name: value for name, value in answer.items() if name.lower() not in ("transfer-encoding", "connection")}
        connection.close()
        if tag := response.headers.get("ETag"):
            answer["x-goog-generation"] = self.generation(path, tag)
        if method != "HEAD":
            answer = {name: value for name, value in answer.items() if name.lower() != "content-length"}
            answer["Content-Length"] = str(len(content))
        return response.status, answer, content
