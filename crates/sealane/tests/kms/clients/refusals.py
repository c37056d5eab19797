"""What is wrong with a request, in AWS's words, and what this KMS does not do."""

import json
import urllib.error
import urllib.request

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import kit


class Refusals(kit.Case):
    def test_operations_that_are_not_there(self):
        store = {"CustomKeyStoreId": "cks-1234567890abcdef0"}
        asked = set()
        for act, arguments in [
            ("connect_custom_key_store", store),
            ("create_custom_key_store", {"CustomKeyStoreName": "one"}),
            ("delete_custom_key_store", store),
            ("describe_custom_key_stores", {}),
            ("disconnect_custom_key_store", store),
            ("update_custom_key_store", store),
            ("replicate_key", {"KeyId": self.key, "ReplicaRegion": "eu-west-1"}),
            ("update_primary_region", {"KeyId": self.key, "PrimaryRegion": "eu-west-1"}),
        ]:
            self.refused("UnsupportedOperationException", getattr(self.kms, act), **arguments)
            asked.add(self.kms.meta.method_to_api_mapping[act])
        self.assertEqual(asked, kit.UNSUPPORTED)

    def test_several_faults_at_once(self):
        self.invalid(
            self.raw.create_alias, AliasName="",
            says="3 validation errors detected: Value '' at 'aliasName' failed to satisfy "
            "constraint: Member must have length greater than or equal to 1; Value '' at "
            "'aliasName' failed to satisfy constraint: Member must satisfy regular expression "
            "pattern: ^[a-zA-Z0-9:/_-]+$; Value null at 'targetKeyId' failed to satisfy "
            "constraint: Member must not be null",
        )

    def test_what_is_missing(self):
        for act, arguments, member in [
            ("describe_key", {}, "keyId"),
            ("encrypt", {"Plaintext": b"x"}, "keyId"),
            ("sign", {"KeyId": self.key, "Message": b"x"}, "signingAlgorithm"),
            ("tag_resource", {"KeyId": self.key}, "tags"),
            ("create_grant", {"KeyId": self.key, "GranteePrincipal": kit.ROOT}, "operations"),
            ("put_key_policy", {"KeyId": self.key}, "policy"),
        ]:
            with self.subTest(act=act, member=member):
                self.invalid(
                    getattr(self.raw, act), **arguments,
                    says=f"1 validation error detected: Value null at '{member}' failed to "
                    "satisfy constraint: Member must not be null",
                )

    def test_values_out_of_their_sets(self):
        self.invalid(
            self.raw.generate_mac, KeyId=self.key, Message=b"x", MacAlgorithm="HMAC_MD5",
            says="1 validation error detected: Value 'HMAC_MD5' at 'macAlgorithm' failed to "
            "satisfy constraint: Member must satisfy enum value set: [HMAC_SHA_384, "
            "HMAC_SHA_256, HMAC_SHA_224, HMAC_SHA_512]",
        )

    def sent(self, body, target="TrentService.ListKeys", kind="application/x-amz-json-1.1", method="POST"):
        headers = {name: value for name, value in [("Content-Type", kind), ("X-Amz-Target", target)] if value}
        request = AWSRequest(method, kit.ENDPOINT + "/", headers=headers, data=body)
        SigV4Auth(Credentials(self.me.id, self.me.secret), "kms", kit.REGION).add_auth(request)
        made = urllib.request.Request(kit.ENDPOINT + "/", body, dict(request.headers), method=method)
        try:
            with urllib.request.urlopen(made, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def test_bodies_that_are_none(self):
        for body in [b"{", b"[]", b"\xff\xfe", b'{"Limit":"x"}', b'{"Limit":1}x', b'"x"']:
            with self.subTest(body=body):
                status, answer = self.sent(body)
                self.assertEqual((status, answer["__type"]), (400, "SerializationException"))
        self.assertEqual(self.sent(b'{"Limit":1,"Unknown":{"a":[1,null]}}')[0], 200)
        # A server that hangs up on a sender may not be heard any more.
        try:
            self.assertEqual(self.sent(b"{" + b" " * 2_000_000 + b"}")[0], 413)
        except urllib.error.URLError as error:
            self.assertIsInstance(error.reason, (BrokenPipeError, ConnectionResetError))

    def test_targets_that_are_none(self):
        for more in [
            {"target": "TrentService.Destroy"}, {"target": "DynamoDB_20120810.ListTables"},
            {"target": None}, {"kind": "text/plain"}, {"method": "PUT"},
        ]:
            with self.subTest(**more):
                status, answer = self.sent(b"{}", **more)
                self.assertEqual((status, answer["__type"]), (400, "UnknownOperationException"))


if __name__ == "__main__":
    kit.main()
