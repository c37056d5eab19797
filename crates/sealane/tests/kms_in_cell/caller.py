"""Calls the KMS as a service of a cell does: JSON over plain HTTP, without an SDK."""

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import urllib.parse

ADDRESS = urllib.parse.urlsplit(os.environ.get("KMS_URL", "http://kms:7600"))


def connect(address=ADDRESS.netloc):
    return http.client.HTTPConnection(address, timeout=20)


def call(operation, request, headers=None, connection=None):
    """The answer, or the type of the error."""
    body = json.dumps(request)
    all_headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"TrentService.{operation}",
        **(headers or {}),
    }
    connection = connection or connect()
    connection.request("POST", "/", body, all_headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    return answer if response.status == 200 else answer["__type"].split("#")[-1]


def encrypt(key, plain, **more):
    return call("Encrypt", {"KeyId": key, "Plaintext": base64.b64encode(plain).decode()}, **more)


def decrypt(blob, **more):
    answer = call("Decrypt", {"CiphertextBlob": blob}, **more)
    return base64.b64decode(answer["Plaintext"]) if isinstance(answer, dict) else answer


def signed(operation, request, access_key, secret, region="us-east-1"):
    """The headers that an SDK would send with `request`."""
    time = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{time[:8]}/{region}/kms/aws4_request"
    covered = {
        "content-type": "application/x-amz-json-1.1",
        "host": ADDRESS.netloc,
        "x-amz-date": time,
        "x-amz-target": f"TrentService.{operation}",
    }
    names = ";".join(covered)
    lines = "".join(f"{name}:{value}\n" for name, value in covered.items())
    body = hashlib.sha256(json.dumps(request).encode()).hexdigest()
    canonical = hashlib.sha256(f"POST\n/\n\n{lines}\n{names}\n{body}".encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{canonical}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={access_key}/{scope}"
    return {
        "X-Amz-Date": time,
        "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}",
    }
