"""Encrypt, Decrypt, ReEncrypt, data keys and their pairs, random bytes."""

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

import kit

CONTEXT = {"tenant": "acme", "purpose": "backup", "ключ": "значение"}


class Symmetric(kit.Case):
    def encrypt(self, key, plaintext=b"secret", **more):
        return self.kms.encrypt(KeyId=key, Plaintext=plaintext, **more)["CiphertextBlob"]

    def test_round_trips(self):
        for plaintext in [b"x", bytes(range(256)), b"y" * 4096]:
            made = self.kms.encrypt(KeyId=self.key, Plaintext=plaintext, EncryptionContext=CONTEXT)
            self.assertEqual(made["KeyId"], kit.key_arn(self.key))
            self.assertEqual(made["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT")
            blob = made["CiphertextBlob"]
            self.assertNotIn(plaintext * 4, blob)
            for more in [{}, {"KeyId": self.key}, {"KeyId": kit.key_arn(self.key)}]:
                opened = self.kms.decrypt(CiphertextBlob=blob, EncryptionContext=CONTEXT, **more)
                self.assertEqual(opened["Plaintext"], plaintext)
                self.assertEqual(opened["KeyId"], kit.key_arn(self.key))
                self.assertEqual(opened["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT")
                self.assertRegex(opened["KeyMaterialId"], r"^[a-f0-9]{64}$")
        self.assertNotEqual(self.encrypt(self.key), self.encrypt(self.key))

    def test_contexts_bind(self):
        blob = self.encrypt(self.key, EncryptionContext=CONTEXT)
        for other in [
            {}, {"tenant": "acme"}, {**CONTEXT, "more": "x"}, {**CONTEXT, "tenant": "globex"},
            {**CONTEXT, "tenant": "Acme"},
        ]:
            error = self.refused("InvalidCiphertextException", self.kms.decrypt,
                                 CiphertextBlob=blob, EncryptionContext=other)
            # Why it does not fit is what an attacker would learn from.
            self.assertEqual(error["Message"], "")
        backwards = dict(reversed(CONTEXT.items()))
        opened = self.kms.decrypt(CiphertextBlob=blob, EncryptionContext=backwards)
        self.assertEqual(opened["Plaintext"], b"secret")

    def test_ciphertexts_that_are_none(self):
        blob = bytearray(self.encrypt(self.key))
        for at in range(0, len(blob), 7):
            broken = blob[:]
            broken[at] ^= 1
            for more in [{}, {"KeyId": self.key}]:
                with self.assertRaises(self.kms.exceptions.ClientError) as caught:
                    self.kms.decrypt(CiphertextBlob=bytes(broken), **more)
                self.assertIn(caught.exception.response["Error"]["Code"],
                              ["InvalidCiphertextException", "IncorrectKeyException"])
        for broken in [blob[:-1], blob + b"x", b"x", b"A" * 6144]:
            self.refused("InvalidCiphertextException", self.kms.decrypt, CiphertextBlob=bytes(broken))
        other = self.create()
        self.refused(
            "IncorrectKeyException", self.kms.decrypt, CiphertextBlob=bytes(blob), KeyId=other,
            says="The key ID in the request does not identify a CMK that can perform this operation.",
        )

    def test_limits(self):
        for act, arguments, where in [
            (self.raw.encrypt, {"KeyId": self.key, "Plaintext": b"x" * 4097}, "plaintext"),
            (self.raw.encrypt, {"KeyId": self.key, "Plaintext": b""}, "plaintext"),
            (self.raw.decrypt, {"CiphertextBlob": b"x" * 6145}, "ciphertextBlob"),
            (self.raw.encrypt, {"KeyId": "", "Plaintext": b"x"}, "keyId"),
            (self.raw.encrypt, {"KeyId": "x" * 2049, "Plaintext": b"x"}, "keyId"),
        ]:
            error = self.refused("ValidationException", act, **arguments)
            self.assertIn(f"at '{where}' failed to satisfy constraint", error["Message"])
        many = {f"name-{n:03}": "x" * 80 for n in range(60)}
        self.encrypt(self.key, EncryptionContext=many)
        self.invalid(self.kms.encrypt, KeyId=self.key, Plaintext=b"x",
                     EncryptionContext={**many, "more": "x" * 8000})

    def test_dry_runs(self):
        blob = self.encrypt(self.key)
        self.dry(self.kms.encrypt, KeyId=self.key, Plaintext=b"x")
        self.dry(self.kms.decrypt, KeyId=self.key, CiphertextBlob=blob)
        self.dry(self.kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=self.key)
        self.dry(self.kms.generate_data_key, KeyId=self.key, KeySpec="AES_256")
        self.dry(self.kms.generate_data_key_without_plaintext, KeyId=self.key, KeySpec="AES_256")
        # Permission alone can be asked for; else what would be opened must open.
        bad = blob[:-1] + bytes([blob[-1] ^ 1])
        alone = {"DryRun": True, "DryRunModifiers": ["IGNORE_CIPHERTEXT"]}
        for modifiers, kind in [({"DryRun": True}, "InvalidCiphertextException"),
                                ({"DryRunModifiers": ["IGNORE_CIPHERTEXT"]}, "InvalidCiphertextException"),
                                (alone, "DryRunOperationException")]:
            self.refused(kind, self.kms.decrypt, CiphertextBlob=bad, **modifiers)
            self.refused(
                kind, self.kms.re_encrypt, CiphertextBlob=bad, DestinationKeyId=self.key, **modifiers,
            )
        self.refused("DryRunOperationException", self.kms.decrypt, KeyId=self.key, **alone)
        pair = {"KeyId": self.key, "KeyPairSpec": "ECC_NIST_P256"}
        self.dry(self.kms.generate_data_key_pair, **pair)
        self.dry(self.kms.generate_data_key_pair_without_plaintext, **pair)
        disabled = self.create()
        self.kms.disable_key(KeyId=disabled)
        self.refused("DisabledException", self.kms.encrypt, KeyId=disabled, Plaintext=b"x", DryRun=True)
        self.refused("NotFoundException", self.kms.encrypt, KeyId="alias/none", Plaintext=b"x", DryRun=True)

    def test_re_encrypt(self):
        other = self.create()
        blob = self.encrypt(self.key, EncryptionContext={"a": "1"})
        moved = self.kms.re_encrypt(
            CiphertextBlob=blob, SourceEncryptionContext={"a": "1"}, DestinationKeyId=other,
            DestinationEncryptionContext={"b": "2"},
        )
        self.assertEqual(moved["SourceKeyId"], kit.key_arn(self.key))
        self.assertEqual(moved["KeyId"], kit.key_arn(other))
        self.assertEqual(moved["SourceEncryptionAlgorithm"], "SYMMETRIC_DEFAULT")
        self.assertEqual(moved["DestinationEncryptionAlgorithm"], "SYMMETRIC_DEFAULT")
        for name in ["SourceKeyMaterialId", "DestinationKeyMaterialId"]:
            self.assertRegex(moved[name], r"^[a-f0-9]{64}$")
        opened = self.kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"b": "2"})
        self.assertEqual((opened["Plaintext"], opened["KeyId"]), (b"secret", kit.key_arn(other)))
        self.refused("InvalidCiphertextException", self.kms.re_encrypt, CiphertextBlob=blob,
                     DestinationKeyId=other)
        self.refused("IncorrectKeyException", self.kms.re_encrypt, CiphertextBlob=blob,
                     SourceEncryptionContext={"a": "1"}, SourceKeyId=other, DestinationKeyId=other)
        self.kms.disable_key(KeyId=other)
        self.refused("DisabledException", self.kms.re_encrypt, CiphertextBlob=blob,
                     SourceEncryptionContext={"a": "1"}, DestinationKeyId=other)
        # Between a symmetric key and a pair, both ways.
        pair = self.create(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
        algorithm = "RSAES_OAEP_SHA_256"
        to_pair = self.kms.re_encrypt(
            CiphertextBlob=blob, SourceEncryptionContext={"a": "1"}, DestinationKeyId=pair,
            DestinationEncryptionAlgorithm=algorithm,
        )
        self.assertNotIn("DestinationKeyMaterialId", to_pair)
        back = self.kms.re_encrypt(
            CiphertextBlob=to_pair["CiphertextBlob"], SourceKeyId=pair,
            SourceEncryptionAlgorithm=algorithm, DestinationKeyId=self.key,
        )
        self.assertEqual(self.kms.decrypt(CiphertextBlob=back["CiphertextBlob"])["Plaintext"], b"secret")

    def test_keys_for_something_else(self):
        sign = self.create(KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
        self.refused(
            "InvalidKeyUsageException", self.kms.encrypt, KeyId=sign, Plaintext=b"x",
            EncryptionAlgorithm="RSAES_OAEP_SHA_1",
            says=f"{kit.key_arn(sign)} key usage is SIGN_VERIFY which is not valid for Encrypt.",
        )
        self.refused(
            "InvalidKeyUsageException", self.kms.encrypt, KeyId=self.key, Plaintext=b"x",
            EncryptionAlgorithm="RSAES_OAEP_SHA_1",
            says="Algorithm RSAES_OAEP_SHA_1 is incompatible with key spec SYMMETRIC_DEFAULT.",
        )
        self.refused(
            "InvalidKeyUsageException", self.kms.sign, KeyId=self.key, Message=b"x",
            SigningAlgorithm="ECDSA_SHA_256",
            says=f"{kit.key_arn(self.key)} key usage is ENCRYPT_DECRYPT which is not valid for Sign.",
        )

    def test_enclaves_are_not_there(self):
        blob = self.encrypt(self.key)
        recipient = {"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256", "AttestationDocument": b"x"}
        for act, arguments in [
            (self.kms.decrypt, {"CiphertextBlob": blob}),
            (self.kms.generate_data_key, {"KeyId": self.key, "KeySpec": "AES_256"}),
            (self.kms.generate_data_key_pair, {"KeyId": self.key, "KeyPairSpec": "ECC_NIST_P256"}),
            (self.kms.generate_random, {"NumberOfBytes": 16}),
        ]:
            self.refused("UnsupportedOperationException", act, Recipient=recipient, **arguments)


class Rsa(kit.Case):
    def test_both_sides_by_each_algorithm(self):
        for spec in ["RSA_2048", "RSA_3072", "RSA_4096"]:
            key = self.create(KeySpec=spec, KeyUsage="ENCRYPT_DECRYPT")
            public = serialization.load_der_public_key(self.kms.get_public_key(KeyId=key)["PublicKey"])
            self.assertIsInstance(public, rsa.RSAPublicKey)
            self.assertEqual(public.key_size, int(spec[-4:]))
            for algorithm, hash_, spent in [
                ("RSAES_OAEP_SHA_1", hashes.SHA1(), 42), ("RSAES_OAEP_SHA_256", hashes.SHA256(), 66),
            ]:
                longest = public.key_size // 8 - spent
                for plaintext in [b"x", b"y" * longest]:
                    made = self.kms.encrypt(KeyId=key, Plaintext=plaintext, EncryptionAlgorithm=algorithm)
                    self.assertEqual(made["EncryptionAlgorithm"], algorithm)
                    oaep = padding.OAEP(padding.MGF1(hash_), hash_, None)
                    for blob in [made["CiphertextBlob"], public.encrypt(plaintext, oaep)]:
                        opened = self.kms.decrypt(
                            KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm=algorithm)
                        self.assertEqual(opened["Plaintext"], plaintext)
                        self.assertNotIn("KeyMaterialId", opened)
                self.invalid(
                    self.kms.encrypt, KeyId=key, Plaintext=b"y" * (longest + 1),
                    EncryptionAlgorithm=algorithm,
                    says=f"Algorithm {algorithm} and key spec {spec} cannot encrypt data larger "
                    f"than {longest} bytes.",
                )

    def test_refusals(self):
        key = self.create(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
        algorithm = {"EncryptionAlgorithm": "RSAES_OAEP_SHA_256"}
        blob = self.kms.encrypt(KeyId=key, Plaintext=b"x", **algorithm)["CiphertextBlob"]
        self.refused("InvalidKeyUsageException", self.kms.encrypt, KeyId=key, Plaintext=b"x")
        self.refused("InvalidKeyUsageException", self.kms.decrypt, KeyId=key, CiphertextBlob=blob)
        self.refused("InvalidCiphertextException", self.kms.decrypt, KeyId=key, CiphertextBlob=blob,
                     EncryptionAlgorithm="RSAES_OAEP_SHA_1")
        self.refused("InvalidCiphertextException", self.kms.decrypt, KeyId=key,
                     CiphertextBlob=blob[:-1], **algorithm)
        self.invalid(self.kms.decrypt, CiphertextBlob=blob, **algorithm)
        # A context cannot be bound by RSA.
        says = "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."
        for act, more in [(self.kms.encrypt, {"Plaintext": b"x"}),
                          (self.kms.decrypt, {"CiphertextBlob": blob})]:
            self.invalid(act, says=says, KeyId=key, EncryptionContext={"a": "b"}, **algorithm, **more)


class DataKeys(kit.Case):
    def test_data_keys(self):
        for arguments, size in [
            ({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 1}, 1),
            ({"NumberOfBytes": 1024}, 1024),
        ]:
            made = self.kms.generate_data_key(KeyId=self.key, EncryptionContext=CONTEXT, **arguments)
            self.assertEqual(len(made["Plaintext"]), size)
            self.assertEqual(made["KeyId"], kit.key_arn(self.key))
            self.assertRegex(made["KeyMaterialId"], r"^[a-f0-9]{64}$")
            opened = self.kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT)
            self.assertEqual(opened["Plaintext"], made["Plaintext"])
            self.refused("InvalidCiphertextException", self.kms.decrypt,
                         CiphertextBlob=made["CiphertextBlob"])
            closed = self.kms.generate_data_key_without_plaintext(KeyId=self.key, **arguments)
            self.assertNotIn("Plaintext", closed)
            opened = self.kms.decrypt(CiphertextBlob=closed["CiphertextBlob"])
            self.assertEqual(len(opened["Plaintext"]), size)

    def test_data_keys_refused(self):
        says = "Please specify either number of bytes or key spec."
        for act in [self.kms.generate_data_key, self.kms.generate_data_key_without_plaintext]:
            self.invalid(act, KeyId=self.key, says=says)
            self.invalid(act, KeyId=self.key, KeySpec="AES_256", NumberOfBytes=32, says=says)
            pair = self.create(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
            self.refused("InvalidKeyUsageException", act, KeyId=pair, KeySpec="AES_256",
                         says="You cannot generate a data key with an asymmetric CMK")
            mac = self.create(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
            self.refused("InvalidKeyUsageException", act, KeyId=mac, KeySpec="AES_256")
        for size in [0, 1025]:
            self.invalid(self.raw.generate_data_key, KeyId=self.key, NumberOfBytes=size)
        self.invalid(
            self.raw.generate_data_key, KeyId=self.key, KeySpec="AES_257",
            says="1 validation error detected: Value 'AES_257' at 'keySpec' failed to satisfy "
            "constraint: Member must satisfy enum value set: [AES_256, AES_128]",
        )

    def test_pairs(self):
        for spec, check in [
            ("RSA_2048", lambda key: key.key_size == 2048),
            ("RSA_3072", lambda key: key.key_size == 3072),
            ("ECC_NIST_P256", lambda key: key.curve.name == "secp256r1"),
            ("ECC_NIST_P384", lambda key: key.curve.name == "secp384r1"),
            ("ECC_NIST_P521", lambda key: key.curve.name == "secp521r1"),
            ("ECC_SECG_P256K1", lambda key: key.curve.name == "secp256k1"),
            ("ECC_NIST_EDWARDS25519", lambda key: isinstance(key, ed25519.Ed25519PrivateKey)),
        ]:
            with self.subTest(spec=spec):
                made = self.kms.generate_data_key_pair(
                    KeyId=self.key, KeyPairSpec=spec, EncryptionContext=CONTEXT)
                self.assertEqual((made["KeyId"], made["KeyPairSpec"]), (kit.key_arn(self.key), spec))
                private = serialization.load_der_private_key(made["PrivateKeyPlaintext"], None)
                self.assertTrue(check(private))
                public = private.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
                self.assertEqual(public, made["PublicKey"])
                opened = self.kms.decrypt(
                    CiphertextBlob=made["PrivateKeyCiphertextBlob"], EncryptionContext=CONTEXT)
                self.assertEqual(opened["Plaintext"], made["PrivateKeyPlaintext"])
                closed = self.kms.generate_data_key_pair_without_plaintext(
                    KeyId=self.key, KeyPairSpec=spec)
                self.assertNotIn("PrivateKeyPlaintext", closed)
                opened = self.kms.decrypt(CiphertextBlob=closed["PrivateKeyCiphertextBlob"])
                private = serialization.load_der_private_key(opened["Plaintext"], None)
                public = private.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
                self.assertEqual(public, closed["PublicKey"])

    def test_pairs_refused(self):
        for act in [self.kms.generate_data_key_pair,
                    self.kms.generate_data_key_pair_without_plaintext]:
            self.refused("UnsupportedOperationException", act, KeyId=self.key, KeyPairSpec="SM2")
            pair = self.create(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
            self.refused("InvalidKeyUsageException", act, KeyId=pair, KeyPairSpec="ECC_NIST_P256")
        self.invalid(self.raw.generate_data_key_pair, KeyId=self.key, KeyPairSpec="P256")

    def test_random_bytes(self):
        for size in [1, 16, 1024]:
            made = self.kms.generate_random(NumberOfBytes=size)["Plaintext"]
            self.assertEqual(len(made), size)
        draws = {self.kms.generate_random(NumberOfBytes=16)["Plaintext"] for _ in range(20)}
        self.assertEqual(len(draws), 20)
        for size in [0, 1025, -1]:
            self.invalid(self.raw.generate_random, NumberOfBytes=size)
        self.invalid(self.kms.generate_random)
        self.refused("UnsupportedOperationException", self.kms.generate_random, NumberOfBytes=8,
                     CustomKeyStoreId="cks-1234567890abcdef0")


if __name__ == "__main__":
    kit.main()
