"""The same over TLS, with a certificate that the client was told of."""

import os

from botocore.exceptions import SSLError

import kit

CA = os.environ["KMS_CA"]


class Tls(kit.Case):
    @classmethod
    def setUpClass(cls):
        cls.me = kit.credential("tls-test")
        cls.kms = kit.client(cls.me, verify=CA)

    def test_round_trip(self):
        key = self.create()
        blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        self.assertEqual(self.kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")

    def test_a_certificate_of_nobody_known(self):
        with self.assertRaises(SSLError):
            kit.client(self.me).list_keys()

    def test_policies_see_it(self):
        secure = lambda wanted: kit.policy(kit.allow_all(), {
            **kit.allow_all(), "Effect": "Deny", "Action": "kms:Encrypt",
            "Condition": {"Bool": {"aws:SecureTransport": wanted}},
        })
        key = self.create(Policy=secure("false"))
        self.kms.encrypt(KeyId=key, Plaintext=b"x")
        self.kms.put_key_policy(KeyId=key, Policy=secure("true"))
        self.denied(self.kms.encrypt, KeyId=key, Plaintext=b"x")


if __name__ == "__main__":
    kit.main()
