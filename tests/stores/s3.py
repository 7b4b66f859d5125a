"""The requests of S3 that the checks make themselves, signed (AWS Signature Version 4)."""

import datetime
import hashlib
import hmac
import http.client
import urllib.parse

KEY, SECRET, REGION = "AKIA", "wJalrXUtnFEMI", "us-east-1"


def signed(port, method, path, content=b"", query="", more=()):
    """The headers of a request, with `more` ones. `query` is as it is signed: sorted, each name with its `=`."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(content).hexdigest()
    headers = {"host": f"127.0.0.1:{port}", "x-amz-content-sha256": digest, "x-amz-date": now} | dict(more)
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, urllib.parse.quote(path), query, lines, names, digest])
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return headers


def request(port, method, path, content=b"", query=""):
    """The status, the body and the length of an answer. `query` as in `signed`."""
    headers = signed(port, method, path, content, query)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    target = urllib.parse.quote(path) + (f"?{query}" if query else "")
    connection.request(method, target, body=content or None, headers=headers)
    response = connection.getresponse()
    body = response.read()
    length = response.headers.get("Content-Length")
    connection.close()
    return response.status, body, int(length or 0)


def make_bucket(port, name):
    status, body, _ = request(port, "PUT", f"/{name}")
    assert status in (200, 409), (status, body)


def put(port, path, content):
    status, body, _ = request(port, "PUT", path, content)
    assert status == 200, (status, body)
