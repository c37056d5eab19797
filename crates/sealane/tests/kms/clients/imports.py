"""Key material from outside: imported, expired, deleted, imported again, rotated to."""

import datetime
import os
import time

from cryptography.hazmat.primitives import hashes, keywrap, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import kit

OAEP = "RSAES_OAEP_SHA_256"
KEY_WRAP = "RSA_AES_KEY_WRAP_SHA_256"
FOREVER = {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}


def wrap(algorithm, public, material):
    """As a client wraps what it brings."""
    hash_ = hashes.SHA1() if algorithm.endswith("SHA_1") else hashes.SHA256()
    public = serialization.load_der_public_key(public)
    oaep = padding.OAEP(padding.MGF1(hash_), hash_, None)
    if algorithm.startswith("RSAES_OAEP"):
        return public.encrypt(material, oaep)
    aes = os.urandom(32)
    return public.encrypt(aes, oaep) + keywrap.aes_key_wrap_with_padding(aes, material)


class Imports(kit.Case):
    def bring(self, key, material, algorithm=OAEP, spec="RSA_2048", **more):
        wanted = self.kms.get_parameters_for_import(
            KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)
        return self.kms.import_key_material(
            KeyId=key, ImportToken=wanted["ImportToken"],
            EncryptedKeyMaterial=wrap(algorithm, wanted["PublicKey"], material), **(more or FOREVER))

    def external(self, **more):
        return self.create(Origin="EXTERNAL", **more)

    def described(self, key):
        return self.kms.describe_key(KeyId=key)["KeyMetadata"]

    def test_from_empty_to_enabled(self):
        for algorithm, spec in [(OAEP, "RSA_2048"), ("RSAES_OAEP_SHA_1", "RSA_3072"),
                                (KEY_WRAP, "RSA_4096"), ("RSA_AES_KEY_WRAP_SHA_1", "RSA_2048")]:
            key = self.external()
            before = self.described(key)
            self.assertEqual((before["KeyState"], before["Origin"], before["Enabled"]),
                             ("PendingImport", "EXTERNAL", False))
            self.assertNotIn("ExpirationModel", before)
            self.refused("KMSInvalidStateException", self.kms.encrypt, KeyId=key, Plaintext=b"x",
                         says=f"{kit.key_arn(key)} is pending import.")
            wanted = self.kms.get_parameters_for_import(
                KeyId=key, WrappingAlgorithm=algorithm, WrappingKeySpec=spec)
            self.assertEqual(wanted["KeyId"], kit.key_arn(key))
            public = serialization.load_der_public_key(wanted["PublicKey"])
            self.assertEqual(public.key_size, int(spec[-4:]))
            left = wanted["ParametersValidTo"] - datetime.datetime.now(datetime.timezone.utc)
            self.assertAlmostEqual(left.total_seconds(), 86400, delta=60)
            made = self.kms.import_key_material(
                KeyId=key, ImportToken=wanted["ImportToken"],
                EncryptedKeyMaterial=wrap(algorithm, wanted["PublicKey"], os.urandom(32)), **FOREVER)
            self.assertEqual(made["KeyId"], kit.key_arn(key))
            after = self.described(key)
            self.assertEqual((after["KeyState"], after["ExpirationModel"]),
                             ("Enabled", "KEY_MATERIAL_DOES_NOT_EXPIRE"))
            self.assertEqual(after["CurrentKeyMaterialId"], made["KeyMaterialId"])
            blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
            self.assertEqual(self.kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")

    def test_deleted_and_brought_again(self):
        key, material = self.external(), os.urandom(32)
        first = self.bring(key, material)
        blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        deleted = self.kms.delete_imported_key_material(KeyId=key)
        self.assertEqual((deleted["KeyId"], deleted["KeyMaterialId"]),
                         (kit.key_arn(key), first["KeyMaterialId"]))
        self.assertEqual(self.state(key), "PendingImport")
        self.refused("KMSInvalidStateException", self.kms.decrypt, CiphertextBlob=blob)
        self.refused("KMSInvalidStateException", self.kms.enable_key, KeyId=key)
        with self.assertRaises(self.kms.exceptions.IncorrectKeyMaterialException):
            self.bring(key, os.urandom(32))
        self.assertEqual(self.state(key), "PendingImport")
        again = self.bring(key, material)
        self.assertEqual(again["KeyMaterialId"], first["KeyMaterialId"])
        self.assertEqual(self.kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")
        # While it is there, it may be brought again too, with another end.
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=30)
        self.bring(key, material, ValidTo=end)
        self.assertEqual(self.described(key)["ExpirationModel"], "KEY_MATERIAL_EXPIRES")

    def test_it_expires(self):
        key, material = self.external(), os.urandom(32)
        end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=3)
        self.bring(key, material, ExpirationModel="KEY_MATERIAL_EXPIRES", ValidTo=end)
        described = self.described(key)
        self.assertEqual(described["ExpirationModel"], "KEY_MATERIAL_EXPIRES")
        self.assertLess(abs((described["ValidTo"] - end).total_seconds()), 2)
        blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        deadline = time.monotonic() + 20
        while self.state(key) != "PendingImport":
            self.assertLess(time.monotonic(), deadline, "the material does not expire")
            time.sleep(0.1)
        self.refused("KMSInvalidStateException", self.kms.decrypt, CiphertextBlob=blob)
        self.assertNotIn("ValidTo", self.described(key))
        self.bring(key, material)
        self.assertEqual(self.kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")

    def test_ends_that_are_none(self):
        key = self.external()
        wanted = self.kms.get_parameters_for_import(
            KeyId=key, WrappingAlgorithm=OAEP, WrappingKeySpec="RSA_2048")
        how = {
            "KeyId": key, "ImportToken": wanted["ImportToken"],
            "EncryptedKeyMaterial": wrap(OAEP, wanted["PublicKey"], os.urandom(32)),
        }
        now = datetime.datetime.now(datetime.timezone.utc)
        says = "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES"
        self.invalid(self.kms.import_key_material, **how, says=says)
        self.invalid(self.kms.import_key_material, **how, ExpirationModel="KEY_MATERIAL_EXPIRES",
                     says=says)
        self.invalid(self.kms.import_key_material, **how, ValidTo=now - datetime.timedelta(days=1))
        self.invalid(self.kms.import_key_material, **how, **FOREVER,
                     ValidTo=now + datetime.timedelta(days=1))
        self.invalid(self.kms.import_key_material, **how, ValidTo=now + datetime.timedelta(days=400))
        self.assertEqual(self.state(key), "PendingImport")

    def test_tokens_and_wrappings_that_do_not_fit(self):
        key, other = self.external(), self.external()
        wanted, elsewhere = [
            self.kms.get_parameters_for_import(
                KeyId=one, WrappingAlgorithm=OAEP, WrappingKeySpec="RSA_2048")
            for one in [key, other]
        ]
        good = wrap(OAEP, wanted["PublicKey"], os.urandom(32))
        token = wanted["ImportToken"]
        for bad in [elsewhere["ImportToken"], token[:-1], b"x", token[:-1] + bytes([token[-1] ^ 1])]:
            self.refused("InvalidImportTokenException", self.kms.import_key_material, KeyId=key,
                         ImportToken=bad, EncryptedKeyMaterial=good, **FOREVER)
        for bad in [good[:-1], b"x", wrap(OAEP, elsewhere["PublicKey"], os.urandom(32)),
                    wrap(KEY_WRAP, wanted["PublicKey"], os.urandom(32))]:
            self.refused("InvalidCiphertextException", self.kms.import_key_material, KeyId=key,
                         ImportToken=token, EncryptedKeyMaterial=bad, **FOREVER)
        for size in [16, 31, 33]:
            self.refused("IncorrectKeyMaterialException", self.kms.import_key_material, KeyId=key,
                         ImportToken=token, **FOREVER,
                         EncryptedKeyMaterial=wrap(OAEP, wanted["PublicKey"], os.urandom(size)))
        self.assertEqual(self.state(key), "PendingImport")

    def test_keys_that_take_none(self):
        says = f"{kit.key_arn(self.key)} origin is AWS_KMS which is not valid for this operation."
        for act, arguments in [
            (self.kms.get_parameters_for_import,
             {"WrappingAlgorithm": OAEP, "WrappingKeySpec": "RSA_2048"}),
            (self.kms.import_key_material,
             {"ImportToken": b"x", "EncryptedKeyMaterial": b"x", **FOREVER}),
            (self.kms.delete_imported_key_material, {}),
        ]:
            self.refused("UnsupportedOperationException", act, KeyId=self.key, says=says, **arguments)
        key = self.external()
        self.refused("UnsupportedOperationException", self.kms.enable_key_rotation, KeyId=self.create(Origin="EXTERNAL"))
        self.invalid(self.raw.get_parameters_for_import, KeyId=key, WrappingAlgorithm="ROT13",
                     WrappingKeySpec="RSA_2048")
        self.kms.schedule_key_deletion(KeyId=key)
        self.refused("KMSInvalidStateException", self.kms.get_parameters_for_import, KeyId=key,
                     WrappingAlgorithm=OAEP, WrappingKeySpec="RSA_2048")
        self.kms.cancel_key_deletion(KeyId=key)
        self.assertEqual(self.state(key), "PendingImport")

    def test_pairs(self):
        for private, spec, usage in [
            (rsa.generate_private_key(65537, 2048), "RSA_2048", "ENCRYPT_DECRYPT"),
            (ec.generate_private_key(ec.SECP384R1()), "ECC_NIST_P384", "KEY_AGREEMENT"),
            (ec.generate_private_key(ec.SECP256K1()), "ECC_SECG_P256K1", "SIGN_VERIFY"),
        ]:
            key = self.external(KeySpec=spec, KeyUsage=usage)
            pkcs8 = private.private_bytes(
                serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption())
            made = self.bring(key, pkcs8, KEY_WRAP)
            self.assertNotIn("CurrentKeyMaterialId", self.described(key))
            public = private.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
            self.assertEqual(self.kms.get_public_key(KeyId=key)["PublicKey"], public)
            del made
        key = self.external(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        with self.assertRaises(self.kms.exceptions.IncorrectKeyMaterialException):
            self.bring(key, pkcs8, KEY_WRAP)

    def test_new_material_takes_effect_by_rotation(self):
        key, one, two = self.external(), os.urandom(32), os.urandom(32)
        first = self.bring(key, one)["KeyMaterialId"]
        old = self.kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
        self.refused("KMSInvalidStateException", self.kms.rotate_key_on_demand, KeyId=key,
                     says=f"No available key material pending rotation for the key: {kit.key_arn(key)}.")
        second = self.bring(key, two, ImportType="NEW_KEY_MATERIAL", KeyMaterialDescription="the next",
                            **FOREVER)["KeyMaterialId"]
        self.assertNotEqual(first, second)
        self.assertEqual(self.described(key)["CurrentKeyMaterialId"], first)
        listed = self.kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")
        states = {one["KeyMaterialId"]: one["KeyMaterialState"] for one in listed["Rotations"]}
        self.assertEqual(states, {first: "CURRENT", second: "PENDING_ROTATION"})
        with self.assertRaises(self.kms.exceptions.KMSInvalidStateException):
            self.bring(key, os.urandom(32), ImportType="NEW_KEY_MATERIAL", **FOREVER)
        self.kms.rotate_key_on_demand(KeyId=key)
        self.assertEqual(self.described(key)["CurrentKeyMaterialId"], second)
        new = self.kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
        for blob, plaintext, material in [(old, b"old", first), (new, b"new", second)]:
            opened = self.kms.decrypt(CiphertextBlob=blob)
            self.assertEqual((opened["Plaintext"], opened["KeyMaterialId"]), (plaintext, material))
        listed = self.kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")
        by_id = {one["KeyMaterialId"]: one for one in listed["Rotations"]}
        self.assertEqual(by_id[first]["KeyMaterialState"], "NON_CURRENT")
        self.assertEqual(by_id[second]["KeyMaterialState"], "CURRENT")
        self.assertEqual(by_id[second]["KeyMaterialDescription"], "the next")
        self.assertEqual(by_id[second]["ImportState"], "IMPORTED")
        self.assertEqual(by_id[second]["RotationType"], "ON_DEMAND")
        # Without any of its material the key rests.
        self.kms.delete_imported_key_material(KeyId=key, KeyMaterialId=first)
        self.assertEqual(self.state(key), "PendingImport")
        self.refused("KMSInvalidStateException", self.kms.decrypt, CiphertextBlob=new)
        self.bring(key, one, ImportType="EXISTING_KEY_MATERIAL", KeyMaterialId=first, **FOREVER)
        self.assertEqual(self.kms.decrypt(CiphertextBlob=old)["Plaintext"], b"old")
        self.refused("NotFoundException", self.kms.delete_imported_key_material, KeyId=key,
                     KeyMaterialId="0" * 64)


if __name__ == "__main__":
    kit.main()
