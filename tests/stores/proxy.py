"""What is between a client and a store: notes what is written, and alters bytes, or answers in place of the store, if it is told to."""

import re
import socket
import threading
import time

PART = re.compile(rb"^PUT (/\S*[?&]partNumber=\d+\S*) HTTP/1.1\r\n")
WRITE = re.compile(rb"^(PUT|POST) (/\S*) HTTP/1.1\r\n")


class Proxy:
    """Listens on a port of its own, and passes everything on to another."""

    def __init__(self, target):
        self.target = target
        self.parts = []
        # Other requests that write: method and path.
        self.writes = []
        # How many of the next parts are altered.
        self.num_altered = 0
        # Until then, and with this answer, the store has too much to do.
        self.busy_until, self.busy_answer, self.num_refused = 0, b"503 Slow Down", 0
        # How many of the next answers with a part of a file have another byte.
        self.num_flipped = 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.target))
        except OSError:
            client.close()
            return
        threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
        self.requests(client, server)

    def pump(self, source, sink):
        try:
            while piece := source.recv(1 << 16):
                # Only of a shard is there so much at once.
                if len(piece) == 1 << 16 and self.num_flipped > 0:
                    self.num_flipped -= 1
                    piece = piece[:-1] + bytes([piece[-1] ^ 1])
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def requests(self, client, server):
        """Passes requests on, one after another: each head, then as many bytes as it states."""
        pending = b""
        try:
            while True:
                while b"\r\n\r\n" not in pending:
                    piece = client.recv(1 << 16)
                    if not piece:
                        return
                    pending += piece
                head, pending = pending.split(b"\r\n\r\n", 1)
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                left = int(length.group(1)) if length else 0
                if time.time() < self.busy_until:
                    while len(pending) < left:
                        pending += client.recv(1 << 16)
                    pending = pending[left:]
                    self.num_refused += 1
                    client.sendall(b"HTTP/1.1 " + self.busy_answer + b"\r\nContent-Length: 0\r\n\r\n")
                    continue
                alters = self.note(head, left)
                server.sendall(head + b"\r\n\r\n")
                while left:
                    if not pending:
                        pending = client.recv(1 << 16)
                        if not pending:
                            return
                    body, pending = pending[:left], pending[left:]
                    left -= len(body)
                    if alters and left == 0:
                        body = body[:-1] + bytes([body[-1] ^ 1])
                    server.sendall(body)
        except OSError:
            pass
        finally:
            for end in (client, server):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def note(self, head, num_bytes):
        part = PART.match(head + b"\r\n")
        if not part:
            if write := WRITE.match(head + b"\r\n"):
                with self.lock:
                    self.writes.append((write.group(1).decode(), write.group(2).decode()))
            return False
        with self.lock:
            self.parts.append(part.group(1).decode())
            alters = self.num_altered > 0 and num_bytes > 0
            self.num_altered -= alters
        return alters
