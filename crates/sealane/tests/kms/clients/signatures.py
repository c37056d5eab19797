"""Signature Version 4 as clients use it, and as attackers would like to."""

import datetime
import hashlib
import json
import time
import urllib.error
import urllib.request

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import kit

HEADERS = {
    "Content-Type": "application/x-amz-json-1.1",
    "X-Amz-Target": "TrentService.GenerateRandom",
}
BODY = b'{"NumberOfBytes":16}'


def send(request):
    """Status and JSON of a request that is signed already."""
    prepared = request.prepare()
    made = urllib.request.Request(prepared.url, prepared.body, dict(prepared.headers), method=prepared.method)
    try:
        with urllib.request.urlopen(made, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Presigner(SigV4QueryAuth):
    """Botocore's own would move the body into the query; here it stays, and is signed."""

    def payload(self, request):
        return hashlib.sha256(BODY).hexdigest()


class Signatures(kit.Case):
    def request(self, **more):
        return AWSRequest("POST", kit.ENDPOINT + "/", headers=dict(HEADERS, **more), data=BODY)

    def credentials(self, by=None, secret=None):
        by = by or self.me
        return Credentials(by.id, secret or by.secret, by.token)

    def answered(self, request, kind=None, says=None):
        status, body = send(request)
        if kind is None:
            self.assertEqual(status, 200, body)
            self.assertEqual(len(body["Plaintext"]), 24)
            return
        self.assertEqual((status, body["__type"].split("#")[-1]), (400, kind), body)
        if says:
            self.assertIn(says, body.get("message", body.get("Message")))

    def signed(self, shift=0, **more):
        """Signed by headers, by a clock that is `shift` seconds off."""
        request = self.request(**more)
        auth = SigV4Auth(self.credentials(), "kms", kit.REGION)
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=shift)
        request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
        auth._modify_request_before_signing(request)
        canonical = auth.canonical_request(request)
        signature = auth.signature(auth.string_to_sign(request, canonical), request)
        auth._inject_signature_to_request(request, signature)
        return request

    def presigned(self, expires, by=None):
        request = self.request()
        request.data = b""
        Presigner(self.credentials(by), "kms", kit.REGION, expires).add_auth(request)
        request.data = BODY
        return request

    def test_signed_by_headers(self):
        self.answered(self.signed())

    def test_presigned(self):
        self.answered(self.presigned(60))
        broken = self.presigned(60)
        broken.url = broken.url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")
        self.answered(broken, "InvalidSignatureException")
        short = self.presigned(1)
        self.answered(short)
        time.sleep(2.5)
        self.answered(short, "InvalidSignatureException", "Signature expired")

    def test_replayed_within_its_time(self):
        request = self.signed()
        for _ in range(3):
            self.answered(request)

    def test_wrong_secrets_and_scopes(self):
        wrong = kit.Credential({"access_key_id": self.me.id, "secret_access_key": "x" * 40})
        self.refused("InvalidSignatureException", kit.client(wrong).list_keys)
        unknown = kit.Credential({"access_key_id": "AKIAAAAAAAAAAAAAAAAA",
                                  "secret_access_key": self.me.secret})
        self.refused("UnrecognizedClientException", kit.client(unknown).list_keys,
                     says="The security token included in the request is invalid.")
        self.refused("InvalidSignatureException", kit.client(self.me, region="eu-west-1").list_keys,
                     says="Credential should be scoped to a valid region. ")
        request = self.request()
        SigV4Auth(self.credentials(), "s3", kit.REGION).add_auth(request)
        self.answered(request, "InvalidSignatureException",
                      "Credential should be scoped to correct service: 'kms'.")
        self.answered(self.request(), "MissingAuthenticationTokenException")

    def test_who_failed_to_sign_is_on_record(self):
        wrong = kit.Credential({"access_key_id": self.me.id, "secret_access_key": "x" * 40})
        for act, reads in [("create_key", False), ("list_keys", True)]:
            self.refused("InvalidSignatureException", getattr(kit.client(wrong), act))
            # Nobody waits for the line of a stranger: it may be written a little later.
            time.sleep(0.3)
            line = kit.audit_lines(1)[0]
            self.assertEqual(line["userIdentity"], {"type": "Unknown", "accessKeyId": self.me.id})
            self.assertEqual((line["readOnly"], line["errorCode"]),
                             (reads, "InvalidSignatureException"))

    def test_clocks_that_are_off(self):
        for shift in [-4 * 60, 4 * 60]:
            self.answered(self.signed(shift))
        self.answered(self.signed(-6 * 60), "InvalidSignatureException", "Signature expired")
        self.answered(self.signed(6 * 60), "InvalidSignatureException", "Signature not yet current")

    def test_changed_on_the_way(self):
        for change in [
            lambda request: setattr(request, "data", b'{"NumberOfBytes":17}'),
            lambda request: request.headers.replace_header("X-Amz-Target", "TrentService.ListKeys"),
            lambda request: setattr(request, "url", request.url + "?x=y"),
        ]:
            request = self.signed()
            change(request)
            self.answered(request, "InvalidSignatureException")

    def test_unsigned_payloads(self):
        request = self.request(**{"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
        SigV4Auth(self.credentials(), "kms", kit.REGION).add_auth(request)
        self.answered(request, "InvalidSignatureException", "UNSIGNED-PAYLOAD")

    def test_revoked(self):
        gone = kit.credential("gone-test")
        client = kit.client(gone)
        client.list_keys()
        session = kit.client(kit.session("gone-test", "--for", "15m"))
        session.list_keys()
        presigned = self.presigned(600, gone)
        self.answered(presigned)
        kit.sealane("kms", "credential", "revoke", "gone-test")
        for one in [client, session]:
            self.refused("UnrecognizedClientException", one.list_keys,
                         says="The security token included in the request is invalid.")
        self.answered(presigned, "UnrecognizedClientException")
        # The name is free again, for another key pair.
        again = kit.credential("gone-test")
        self.assertNotEqual(again.id, gone.id)
        kit.client(again).list_keys()

    def test_sessions(self):
        made = kit.session(type(self).__name__.lower() + "-test", "--for", "15m")
        self.assertTrue(made.id.startswith("ASIA"))
        self.assertNotEqual(made.secret, self.me.secret)
        key = self.create(kit.client(made))
        self.assertEqual(self.state(key), "Enabled")
        self.answered(self.presigned(60, made))
        other = kit.session(type(self).__name__.lower() + "-test")
        mixed = lambda key, secret, token: kit.client(kit.Credential({
            "access_key_id": key.id, "secret_access_key": secret.secret,
            "session_token": token if token is None or isinstance(token, str) else token.token}))
        for client in [
            mixed(made, made, other), mixed(made, made, None), mixed(self.me, self.me, made),
            mixed(made, made, "nonsense"), mixed(made, made, made.token[:-2] + "AA"),
        ]:
            with self.assertRaises(self.kms.exceptions.ClientError) as caught:
                client.list_keys()
            self.assertEqual(caught.exception.response["Error"]["Code"], "UnrecognizedClientException")
        self.refused("InvalidSignatureException", mixed(made, self.me, made).list_keys)

    def test_of_a_tenant(self):
        kit.credential("seth-test", "acme")
        session = kit.client(kit.session("seth-test", "--tenant", "acme"))
        key = self.create(session)
        self.denied(self.kms.encrypt, KeyId=key, Plaintext=b"x")
        session.encrypt(KeyId=key, Plaintext=b"x")


if __name__ == "__main__":
    kit.main()
