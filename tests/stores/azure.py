"""What the checks ask of Azurite themselves: to wait for it, and to make containers and blobs (authorization with a shared key)."""

import base64
import datetime
import hmac
import http.client
import socket
import time

# Azurite's own account, which is public.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def wait_for(port, name="Azurite"):
    for _ in range(240):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(f"{name} does not answer")


def make_container(port, name):
    request(port, f"/{name}", "restype:container", {})


def put(port, path, content):
    request(port, path, "", {"x-ms-blob-type": "BlockBlob"}, content)


def request(port, path, query, more, content=b""):
    """Creates something; `query` is one parameter, NAME:VALUE, or empty."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = dict(sorted((more | {"x-ms-date": now, "x-ms-version": "2021-12-02"}).items()))
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    resource = f"/{ACCOUNT}/{ACCOUNT}{path}" + (f"\n{query}" if query else "")
    text = f"PUT\n\n\n{len(content) or ''}\n" + "\n" * 8 + lines + resource
    signature = base64.b64encode(hmac.digest(base64.b64decode(KEY), text.encode(), "sha256")).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": str(len(content))}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    parameter = f"?{query.replace(':', '=')}" if query else ""
    connection.request("PUT", f"/{ACCOUNT}{path}{parameter}", body=content or None, headers=headers)
    response = connection.getresponse()
    body = response.read()
    assert response.status == 201, (response.status, body)
