"""Sign and Verify, MACs, shared secrets: each beside another implementation."""

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, utils

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa, mlkem
except ImportError:  # older than 47
    mldsa = mlkem = None

import kit

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
MESSAGE = b"To be signed. " * 200


def digest(algorithm, message=MESSAGE):
    return hashlib.new(f"sha{algorithm[-3:]}", message).digest()


def check(public, algorithm, signature, message=MESSAGE):
    """Verifies by the other implementation; raises what it raises."""
    hash_ = HASHES.get(algorithm[-3:])
    if algorithm.startswith("RSASSA_PKCS1"):
        public.verify(signature, message, padding.PKCS1v15(), hash_)
    elif algorithm.startswith("RSASSA_PSS"):
        salt = padding.PSS(padding.MGF1(hash_), hash_.digest_size)
        public.verify(signature, message, salt, hash_)
    elif algorithm.startswith("ECDSA"):
        public.verify(signature, message, ec.ECDSA(hash_))
    else:
        public.verify(signature, message)


def sign(private, algorithm, message=MESSAGE):
    hash_ = HASHES.get(algorithm[-3:])
    if algorithm.startswith("RSASSA_PKCS1"):
        return private.sign(message, padding.PKCS1v15(), hash_)
    if algorithm.startswith("RSASSA_PSS"):
        return private.sign(message, padding.PSS(padding.MGF1(hash_), hash_.digest_size), hash_)
    if algorithm.startswith("ECDSA"):
        return private.sign(message, ec.ECDSA(hash_))
    return private.sign(message)


class Signatures(kit.Case):
    def signing_key(self, spec):
        key = self.create(KeySpec=spec, KeyUsage="SIGN_VERIFY")
        return key, self.kms.get_public_key(KeyId=key)

    def both_ways(self, key, algorithm, loaded):
        """RAW and DIGEST by KMS, verified by it and by the other implementation."""
        # AWS takes raw messages of 4 KiB at most.
        kinds = [("RAW", MESSAGE)]
        if not algorithm.startswith(("ML_DSA", "ED25519")):
            kinds.append(("DIGEST", digest(algorithm)))
        for kind, message in kinds:
            how = {"KeyId": key, "SigningAlgorithm": algorithm, "MessageType": kind}
            made = self.kms.sign(Message=message, **how)
            self.assertEqual(made["KeyId"], kit.key_arn(key))
            self.assertEqual(made["SigningAlgorithm"], algorithm)
            if loaded is not None:
                check(loaded, algorithm, made["Signature"])
                with self.assertRaises(InvalidSignature):
                    check(loaded, algorithm, made["Signature"], b"something else")
            verified = self.kms.verify(Message=message, Signature=made["Signature"], **how)
            self.assertEqual((verified["SignatureValid"], verified["KeyId"]), (True, kit.key_arn(key)))
            broken = bytearray(made["Signature"])
            broken[-1] ^= 1
            other = bytearray(message)
            other[0] ^= 1
            for more in [
                {"Message": message, "Signature": bytes(broken)},
                {"Message": bytes(other), "Signature": made["Signature"]},
                {"Message": message, "Signature": b"x"},
            ]:
                error = self.refused("KMSInvalidSignatureException", self.kms.verify, **how, **more)
                self.assertEqual(error["Message"], "")
            self.dry(self.kms.sign, Message=message, **how)
            self.dry(self.kms.verify, Message=message, Signature=made["Signature"], **how)

    def test_rsa(self):
        for spec in ["RSA_2048", "RSA_3072", "RSA_4096"]:
            key, public = self.signing_key(spec)
            loaded = serialization.load_der_public_key(public["PublicKey"])
            for algorithm in public["SigningAlgorithms"]:
                with self.subTest(spec=spec, algorithm=algorithm):
                    self.both_ways(key, algorithm, loaded)

    def test_elliptic_curves(self):
        for spec in ["ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"]:
            key, public = self.signing_key(spec)
            loaded = serialization.load_der_public_key(public["PublicKey"])
            [algorithm] = public["SigningAlgorithms"]
            with self.subTest(spec=spec):
                self.both_ways(key, algorithm, loaded)

    def test_ed25519(self):
        key, public = self.signing_key("ECC_NIST_EDWARDS25519")
        self.assertIn("ED25519_SHA_512", public["SigningAlgorithms"])
        loaded = serialization.load_der_public_key(public["PublicKey"])
        self.assertIsInstance(loaded, ed25519.Ed25519PublicKey)
        self.both_ways(key, "ED25519_SHA_512", loaded)
        self.refused("UnsupportedOperationException", self.kms.sign, KeyId=key, Message=b"x" * 64,
                     MessageType="DIGEST", SigningAlgorithm="ED25519_PH_SHA_512")

    def test_ml_dsa(self):
        for bits in [44, 65, 87]:
            key, public = self.signing_key(f"ML_DSA_{bits}")
            self.assertEqual(public["SigningAlgorithms"], ["ML_DSA_SHAKE_256"])
            loaded = mldsa and serialization.load_der_public_key(public["PublicKey"])
            if mldsa:
                self.assertIsInstance(loaded, getattr(mldsa, f"MLDSA{bits}PublicKey"))
            self.both_ways(key, "ML_DSA_SHAKE_256", loaded)
            self.refused("UnsupportedOperationException", self.kms.sign, KeyId=key,
                         Message=b"x" * 64, MessageType="EXTERNAL_MU",
                         SigningAlgorithm="ML_DSA_SHAKE_256")

    def test_signatures_of_others(self):
        """A signature that the other implementation made with an imported key is a signature."""
        private = ec.generate_private_key(ec.SECP256R1())
        key = self.create(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY", Origin="EXTERNAL")
        wanted = self.kms.get_parameters_for_import(
            KeyId=key, WrappingAlgorithm="RSA_AES_KEY_WRAP_SHA_256", WrappingKeySpec="RSA_2048")
        from imports import wrap
        pkcs8 = private.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                                      serialization.NoEncryption())
        self.kms.import_key_material(
            KeyId=key, ImportToken=wanted["ImportToken"],
            EncryptedKeyMaterial=wrap("RSA_AES_KEY_WRAP_SHA_256", wanted["PublicKey"], pkcs8),
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )
        how = {"KeyId": key, "Message": MESSAGE, "SigningAlgorithm": "ECDSA_SHA_256"}
        self.assertTrue(self.kms.verify(Signature=sign(private, "ECDSA_SHA_256"), **how)["SignatureValid"])
        check(private.public_key(), "ECDSA_SHA_256", self.kms.sign(**how)["Signature"])

    def test_what_does_not_fit(self):
        key, _ = self.signing_key("ECC_NIST_P256")
        self.refused(
            "InvalidKeyUsageException", self.kms.sign, KeyId=key, Message=b"x",
            SigningAlgorithm="ECDSA_SHA_384",
            says="Algorithm ECDSA_SHA_384 is incompatible with key spec ECC_NIST_P256.",
        )
        for act, more in [(self.kms.sign, {}), (self.kms.verify, {"Signature": b"x"})]:
            self.invalid(
                act, KeyId=key, Message=b"x" * 31, MessageType="DIGEST",
                SigningAlgorithm="ECDSA_SHA_256", **more,
                says="Digest is invalid length for algorithm ECDSA_SHA_256.",
            )
        self.invalid(self.raw.sign, KeyId=key, Message=b"x" * 4097, SigningAlgorithm="ECDSA_SHA_256")
        self.invalid(self.raw.sign, KeyId=key, Message=b"", SigningAlgorithm="ECDSA_SHA_256")
        self.invalid(self.raw.sign, KeyId=key, Message=b"x", SigningAlgorithm="ECDSA")
        self.invalid(self.kms.sign, KeyId=key, Message=b"x" * 64, MessageType="EXTERNAL_MU",
                     SigningAlgorithm="ECDSA_SHA_256")
        ed25519_key, _ = self.signing_key("ECC_NIST_EDWARDS25519")
        self.invalid(self.kms.sign, KeyId=ed25519_key, Message=b"x" * 64, MessageType="DIGEST",
                     SigningAlgorithm="ED25519_SHA_512")
        agree = self.create(KeySpec="ECC_NIST_P256", KeyUsage="KEY_AGREEMENT")
        self.refused(
            "InvalidKeyUsageException", self.kms.sign, KeyId=agree, Message=b"x",
            SigningAlgorithm="ECDSA_SHA_256",
            says=f"{kit.key_arn(agree)} key usage is KEY_AGREEMENT which is not valid for Sign.",
        )
        self.kms.disable_key(KeyId=key)
        self.refused("DisabledException", self.kms.sign, KeyId=key, Message=b"x",
                     SigningAlgorithm="ECDSA_SHA_256")
        self.refused("DisabledException", self.kms.verify, KeyId=key, Message=b"x", Signature=b"x",
                     SigningAlgorithm="ECDSA_SHA_256")


class Macs(kit.Case):
    def test_each_spec(self):
        for bits in [224, 256, 384, 512]:
            key = self.create(KeySpec=f"HMAC_{bits}", KeyUsage="GENERATE_VERIFY_MAC")
            how = {"KeyId": key, "MacAlgorithm": f"HMAC_SHA_{bits}"}
            made = self.kms.generate_mac(Message=MESSAGE, **how)
            self.assertEqual((made["KeyId"], made["MacAlgorithm"]),
                             (kit.key_arn(key), f"HMAC_SHA_{bits}"))
            self.assertEqual(len(made["Mac"]), bits // 8)
            self.assertEqual(made["Mac"], self.kms.generate_mac(Message=MESSAGE, **how)["Mac"])
            verified = self.kms.verify_mac(Message=MESSAGE, Mac=made["Mac"], **how)
            self.assertEqual((verified["MacValid"], verified["MacAlgorithm"]),
                             (True, f"HMAC_SHA_{bits}"))
            for message, mac in [(b"other", made["Mac"]), (MESSAGE, made["Mac"][:-1] + b"\0"),
                                 (MESSAGE, made["Mac"][:-1])]:
                error = self.refused("KMSInvalidMacException", self.kms.verify_mac, Message=message,
                                     Mac=mac, **how)
                self.assertEqual(error["Message"], "")
            self.dry(self.kms.generate_mac, Message=MESSAGE, **how)
            self.dry(self.kms.verify_mac, Message=MESSAGE, Mac=made["Mac"], **how)

    def test_a_key_of_ours_makes_the_macs_of_others(self):
        from imports import wrap
        secret = os.urandom(32)
        key = self.create(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC", Origin="EXTERNAL")
        wanted = self.kms.get_parameters_for_import(
            KeyId=key, WrappingAlgorithm="RSAES_OAEP_SHA_256", WrappingKeySpec="RSA_2048")
        self.kms.import_key_material(
            KeyId=key, ImportToken=wanted["ImportToken"],
            EncryptedKeyMaterial=wrap("RSAES_OAEP_SHA_256", wanted["PublicKey"], secret),
            ExpirationModel="KEY_MATERIAL_DOES_NOT_EXPIRE",
        )
        made = self.kms.generate_mac(KeyId=key, Message=MESSAGE, MacAlgorithm="HMAC_SHA_256")
        self.assertEqual(made["Mac"], hmac.digest(secret, MESSAGE, "sha256"))

    def test_what_does_not_fit(self):
        key = self.create(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        self.refused("InvalidKeyUsageException", self.kms.generate_mac, KeyId=key, Message=b"x",
                     MacAlgorithm="HMAC_SHA_512")
        self.refused("InvalidKeyUsageException", self.kms.verify_mac, KeyId=self.key, Message=b"x",
                     Mac=b"x", MacAlgorithm="HMAC_SHA_256")
        self.invalid(self.raw.generate_mac, KeyId=key, Message=b"x" * 4097,
                     MacAlgorithm="HMAC_SHA_256")
        self.kms.disable_key(KeyId=key)
        self.refused("DisabledException", self.kms.generate_mac, KeyId=key, Message=b"x",
                     MacAlgorithm="HMAC_SHA_256")


class SharedSecrets(kit.Case):
    def test_agreement(self):
        for spec, curve in [("ECC_NIST_P256", ec.SECP256R1()), ("ECC_NIST_P384", ec.SECP384R1()),
                            ("ECC_NIST_P521", ec.SECP521R1())]:
            key = self.create(KeySpec=spec, KeyUsage="KEY_AGREEMENT")
            ours = serialization.load_der_public_key(self.kms.get_public_key(KeyId=key)["PublicKey"])
            peer = ec.generate_private_key(curve)
            public = peer.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            how = {"KeyId": key, "KeyAgreementAlgorithm": "ECDH"}
            made = self.kms.derive_shared_secret(PublicKey=public, **how)
            self.assertEqual(made["SharedSecret"], peer.exchange(ec.ECDH(), ours))
            self.assertEqual((made["KeyId"], made["KeyAgreementAlgorithm"], made["KeyOrigin"]),
                             (kit.key_arn(key), "ECDH", "AWS_KMS"))
            self.dry(self.kms.derive_shared_secret, PublicKey=public, **how)
            other = ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            for bad in [other, public[:-1], b"x"]:
                self.invalid(self.kms.derive_shared_secret, PublicKey=bad, **how)
            self.refused("InvalidKeyUsageException", self.kms.sign, KeyId=key, Message=b"x",
                         SigningAlgorithm="ECDSA_SHA_256")
        sign_key = self.create(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        self.refused("InvalidKeyUsageException", self.kms.derive_shared_secret, KeyId=sign_key,
                     KeyAgreementAlgorithm="ECDH", PublicKey=public)
        self.refused("UnsupportedOperationException", self.kms.derive_shared_secret, PublicKey=public,
                     Recipient={"KeyEncryptionAlgorithm": "RSAES_OAEP_SHA_256",
                                "AttestationDocument": b"x"}, **how)

    def test_encapsulation(self):
        for bits, size in [(512, 768), (768, 1088), (1024, 1568)]:
            key = self.create(KeySpec=f"ML_KEM_{bits}", KeyUsage="ENCAPSULATE_DECAPSULATE")
            how = {"KeyId": key, "EncapsulationAlgorithm": "ML_KEM"}
            public = self.kms.get_public_key(KeyId=key)
            self.assertEqual(public["EncapsulationAlgorithms"], ["ML_KEM"])
            made = self.kms.encapsulate(**how)
            blob = made["SharedSecretCiphertextBlob"]
            self.assertEqual((len(made["SharedSecret"]), len(blob)), (32, size))
            opened = self.kms.decapsulate(SharedSecretCiphertextBlob=blob, **how)
            self.assertEqual(opened["SharedSecret"], made["SharedSecret"])
            self.assertEqual(opened["KeyId"], kit.key_arn(key))
            if mlkem and hasattr(mlkem, f"MLKEM{bits}PublicKey"):
                loaded = serialization.load_der_public_key(public["PublicKey"])
                secret, theirs = loaded.encapsulate()
                opened = self.kms.decapsulate(SharedSecretCiphertextBlob=theirs, **how)
                self.assertEqual(opened["SharedSecret"], secret)
            # Implicit rejection: another secret, and no word of why.
            broken = bytes([blob[0] ^ 1]) + blob[1:]
            opened = self.kms.decapsulate(SharedSecretCiphertextBlob=broken, **how)
            self.assertNotEqual(opened["SharedSecret"], made["SharedSecret"])
            self.refused("InvalidCiphertextException", self.kms.decapsulate,
                         SharedSecretCiphertextBlob=blob[:-1], **how)
            self.dry(self.kms.encapsulate, **how)
            self.dry(self.kms.decapsulate, SharedSecretCiphertextBlob=blob, **how)
        self.refused("InvalidKeyUsageException", self.kms.encapsulate, KeyId=self.key,
                     EncapsulationAlgorithm="ML_KEM")
        self.refused("InvalidKeyUsageException", self.kms.decapsulate, KeyId=self.key,
                     EncapsulationAlgorithm="ML_KEM", SharedSecretCiphertextBlob=blob)


if __name__ == "__main__":
    kit.main()
