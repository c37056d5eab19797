"""Keys: made, described, listed, disabled, deleted, tagged, last used."""

import datetime
import re
import uuid

import kit

PAIR_SPECS = [
    "RSA_2048", "RSA_3072", "RSA_4096", "ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521",
    "ECC_SECG_P256K1", "ECC_NIST_EDWARDS25519", "ML_DSA_44", "ML_DSA_65", "ML_DSA_87",
]


class Making(kit.Case):
    def test_what_a_key_is_said_to_be(self):
        made = self.kms.create_key(
            Description="for tests", Tags=[{"TagKey": "team", "TagValue": "payments"}]
        )["KeyMetadata"]
        self.assertEqual(str(uuid.UUID(made["KeyId"])), made["KeyId"])
        age = datetime.datetime.now(datetime.timezone.utc) - made.pop("CreationDate")
        self.assertLess(abs(age.total_seconds()), 60)
        self.assertRegex(made.pop("CurrentKeyMaterialId"), r"^[a-f0-9]{64}$")
        key = made.pop("KeyId")
        self.assertEqual(made, {
            "AWSAccountId": kit.ACCOUNT,
            "Arn": kit.key_arn(key),
            "Enabled": True,
            "Description": "for tests",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeyState": "Enabled",
            "Origin": "AWS_KMS",
            "KeyManager": "CUSTOMER",
            "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
            "KeySpec": "SYMMETRIC_DEFAULT",
            "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
            "MultiRegion": False,
        })
        tags = self.kms.list_resource_tags(KeyId=key)["Tags"]
        self.assertEqual(tags, [{"TagKey": "team", "TagValue": "payments"}])
        described = self.kms.describe_key(KeyId=key)["KeyMetadata"]
        self.assertEqual({**described, "CreationDate": 0, "CurrentKeyMaterialId": 0}, {
            **made, "KeyId": key, "CreationDate": 0, "CurrentKeyMaterialId": 0,
        })

    def test_what_each_spec_can_do(self):
        rsa_sign = [
            f"RSASSA_{padding}_SHA_{bits}"
            for padding in ("PKCS1_V1_5", "PSS") for bits in (256, 384, 512)
        ]
        for spec, usage, member, algorithms in [
            ("RSA_2048", "ENCRYPT_DECRYPT", "EncryptionAlgorithms",
             ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]),
            ("RSA_2048", "SIGN_VERIFY", "SigningAlgorithms", rsa_sign),
            ("ECC_NIST_P256", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_256"]),
            ("ECC_NIST_P256", "KEY_AGREEMENT", "KeyAgreementAlgorithms", ["ECDH"]),
            ("ECC_NIST_P384", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_384"]),
            ("ECC_NIST_P521", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_512"]),
            ("ECC_SECG_P256K1", "SIGN_VERIFY", "SigningAlgorithms", ["ECDSA_SHA_256"]),
            ("ML_DSA_44", "SIGN_VERIFY", "SigningAlgorithms", ["ML_DSA_SHAKE_256"]),
            ("HMAC_224", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_224"]),
            ("HMAC_256", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_256"]),
            ("HMAC_384", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_384"]),
            ("HMAC_512", "GENERATE_VERIFY_MAC", "MacAlgorithms", ["HMAC_SHA_512"]),
        ]:
            with self.subTest(spec=spec, usage=usage):
                made = self.kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]
                self.assertEqual((made["KeySpec"], made["KeyUsage"]), (spec, usage))
                self.assertEqual(sorted(made[member]), algorithms)
                self.assertNotIn("CurrentKeyMaterialId", made)
                others = [name for name in made if name.endswith("Algorithms") and name != member]
                self.assertEqual(others, [])

    def test_the_older_name_of_the_spec(self):
        made = self.kms.create_key(CustomerMasterKeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
        self.assertEqual(made["KeyMetadata"]["KeySpec"], "RSA_2048")

    def test_specs_and_usages_that_do_not_fit(self):
        for spec, usage in [
            ("SYMMETRIC_DEFAULT", "SIGN_VERIFY"),
            ("SYMMETRIC_DEFAULT", "GENERATE_VERIFY_MAC"),
            ("ECC_NIST_P256", "ENCRYPT_DECRYPT"),
            ("ECC_SECG_P256K1", "KEY_AGREEMENT"),
            ("ECC_NIST_EDWARDS25519", "KEY_AGREEMENT"),
            ("HMAC_256", "ENCRYPT_DECRYPT"),
            ("RSA_2048", "KEY_AGREEMENT"),
            ("ML_DSA_44", "ENCRYPT_DECRYPT"),
        ]:
            self.invalid(
                self.kms.create_key, KeySpec=spec, KeyUsage=usage,
                says=f"KeyUsage {usage} is not compatible with KeySpec {spec}",
            )
        for spec in ["RSA_2048", "HMAC_256", "ECC_NIST_P256"]:
            self.invalid(
                self.kms.create_key, KeySpec=spec,
                says="You must specify a KeyUsage value for all KMS keys except for symmetric "
                "encryption keys.",
            )
        both = {"KeySpec": "RSA_2048", "CustomerMasterKeySpec": "RSA_2048"}
        self.invalid(
            self.kms.create_key, KeyUsage="SIGN_VERIFY", **both,
            says="You cannot specify KeySpec and CustomerMasterKeySpec in the same request. "
            "CustomerMasterKeySpec is deprecated.",
        )

    def test_what_this_kms_does_not_make(self):
        for arguments in [
            {"MultiRegion": True},
            {"Origin": "AWS_CLOUDHSM"},
            {"CustomKeyStoreId": "cks-1234567890abcdef0"},
            {"Origin": "EXTERNAL_KEY_STORE", "XksKeyId": "one"},
            {"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"},
        ]:
            self.refused("UnsupportedOperationException", self.kms.create_key, **arguments)

    def test_public_keys(self):
        key = self.create(KeySpec="ECC_NIST_P384", KeyUsage="SIGN_VERIFY")
        public = self.kms.get_public_key(KeyId=key)
        self.assertEqual(public["KeyId"], kit.key_arn(key))
        self.assertEqual(public["KeySpec"], "ECC_NIST_P384")
        self.assertEqual(public["CustomerMasterKeySpec"], "ECC_NIST_P384")
        self.assertEqual(public["KeyUsage"], "SIGN_VERIFY")
        self.assertEqual(public["SigningAlgorithms"], ["ECDSA_SHA_384"])
        self.assertNotIn("EncryptionAlgorithms", public)
        self.kms.disable_key(KeyId=key)
        self.refused("DisabledException", self.kms.get_public_key, KeyId=key)
        for spec, usage in [("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("HMAC_256", "GENERATE_VERIFY_MAC")]:
            other = self.create(KeySpec=spec, KeyUsage=usage)
            self.refused("UnsupportedOperationException", self.kms.get_public_key, KeyId=other)


class Naming(kit.Case):
    def test_keys_go_by_id_and_arn(self):
        for name in [self.key, kit.key_arn(self.key)]:
            described = self.kms.describe_key(KeyId=name)["KeyMetadata"]
            self.assertEqual(described["KeyId"], self.key)

    def test_names_of_nothing(self):
        missing = str(uuid.uuid4())
        gone = f"Key '{kit.key_arn(missing)}' does not exist"
        self.refused("NotFoundException", self.kms.describe_key, KeyId=missing, says=gone)
        self.refused(
            "NotFoundException", self.kms.describe_key, KeyId=kit.key_arn(missing), says=gone
        )
        self.refused(
            "NotFoundException", self.kms.describe_key, KeyId="not-a-key",
            says="Invalid keyId 'not-a-key'",
        )
        self.refused(
            "NotFoundException", self.kms.describe_key, KeyId="alias/nothing",
            says=f"Alias {kit.alias_arn('alias/nothing')} is not found.",
        )
        elsewhere = kit.key_arn(self.key).replace(kit.REGION, "eu-west-1")
        self.refused(
            "NotFoundException", self.kms.describe_key, KeyId=elsewhere, says="Invalid arn eu-west-1"
        )
        strange = kit.key_arn(self.key).replace(kit.ACCOUNT, "999999999999")
        self.denied(self.kms.describe_key, KeyId=strange)
        for name in ["arn:aws:s3:::bucket", "arn:aws:kms:us-east-1"]:
            self.refused("NotFoundException", self.kms.describe_key, KeyId=name)

    def test_every_operation_on_a_key_says_that_there_is_none(self):
        missing = str(uuid.uuid4())
        blob = b"x" * 64
        for act, arguments in [
            ("cancel_key_deletion", {}),
            ("create_alias", {"AliasName": "alias/x", "TargetKeyId": missing}),
            ("create_grant", {"GranteePrincipal": kit.ROOT, "Operations": ["Decrypt"]}),
            ("decapsulate", {"EncapsulationAlgorithm": "ML_KEM", "SharedSecretCiphertextBlob": blob}),
            ("decrypt", {"CiphertextBlob": blob}),
            ("delete_imported_key_material", {}),
            ("derive_shared_secret", {"KeyAgreementAlgorithm": "ECDH", "PublicKey": blob}),
            ("describe_key", {}),
            ("disable_key", {}),
            ("disable_key_rotation", {}),
            ("enable_key", {}),
            ("enable_key_rotation", {}),
            ("encapsulate", {"EncapsulationAlgorithm": "ML_KEM"}),
            ("encrypt", {"Plaintext": b"x"}),
            ("generate_data_key", {"KeySpec": "AES_256"}),
            ("generate_data_key_pair", {"KeyPairSpec": "ECC_NIST_P256"}),
            ("generate_data_key_pair_without_plaintext", {"KeyPairSpec": "ECC_NIST_P256"}),
            ("generate_data_key_without_plaintext", {"KeySpec": "AES_256"}),
            ("generate_mac", {"Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}),
            ("get_key_last_usage", {}),
            ("get_key_policy", {}),
            ("get_key_rotation_status", {}),
            ("get_parameters_for_import",
             {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}),
            ("get_public_key", {}),
            ("import_key_material", {
                "ImportToken": blob, "EncryptedKeyMaterial": blob,
                "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
            }),
            ("list_aliases", {}),
            ("list_grants", {}),
            ("list_key_policies", {}),
            ("list_key_rotations", {}),
            ("list_resource_tags", {}),
            ("put_key_policy", {"Policy": kit.policy(kit.allow_all())}),
            ("re_encrypt", {"CiphertextBlob": blob, "SourceKeyId": missing, "DestinationKeyId": self.key}),
            ("re_encrypt", {"CiphertextBlob": blob, "SourceKeyId": self.key, "DestinationKeyId": missing}),
            ("revoke_grant", {"GrantId": "0" * 64}),
            ("rotate_key_on_demand", {}),
            ("schedule_key_deletion", {}),
            ("sign", {"Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}),
            ("tag_resource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
            ("untag_resource", {"TagKeys": ["a"]}),
            ("update_key_description", {"Description": "x"}),
            ("verify", {"Message": b"x", "Signature": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}),
            ("verify_mac", {"Message": b"x", "Mac": b"x", "MacAlgorithm": "HMAC_SHA_256"}),
        ]:
            with self.subTest(act=act):
                named = {} if {"TargetKeyId", "SourceKeyId"} & set(arguments) else {"KeyId": missing}
                self.refused(
                    "NotFoundException", getattr(self.kms, act), **named, **arguments,
                    says=f"Key '{kit.key_arn(missing)}' does not exist",
                )


class Listing(kit.Case):
    def test_keys_by_pages(self):
        made = {self.create() for _ in range(7)}
        listed = self.pages(self.kms.list_keys, "Keys", 3)
        ids = [one["KeyId"] for one in listed]
        self.assertEqual(len(ids), len(set(ids)))
        self.assertLessEqual(made, set(ids))
        for one in listed:
            self.assertEqual(one["KeyArn"], kit.key_arn(one["KeyId"]))
        paginator = self.kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
        self.assertEqual([key["KeyId"] for page in paginator for key in page["Keys"]], ids)

    def test_markers_that_are_none(self):
        for marker in ["nonsense", "AAAA", "x" * 1000]:
            self.refused("InvalidMarkerException", self.kms.list_keys, Marker=marker)
        self.invalid(
            self.raw.list_keys, Limit=0,
            says="1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: "
            "Member must have value greater than or equal to 1",
        )
        self.invalid(
            self.raw.list_keys, Limit=1001,
            says="1 validation error detected: Value '1001' at 'limit' failed to satisfy "
            "constraint: Member must have value less than or equal to 1000",
        )


class States(kit.Case):
    def test_disabled_and_enabled(self):
        key = self.create()
        blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        for _ in range(2):
            self.kms.disable_key(KeyId=key)
        described = self.kms.describe_key(KeyId=key)["KeyMetadata"]
        self.assertEqual((described["KeyState"], described["Enabled"]), ("Disabled", False))
        says = f"{kit.key_arn(key)} is disabled."
        for act, arguments in [
            (self.kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
            (self.kms.decrypt, {"CiphertextBlob": blob}),
            (self.kms.decrypt, {"CiphertextBlob": blob, "KeyId": key}),
            (self.kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
            (self.kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": self.key}),
            (self.kms.enable_key_rotation, {"KeyId": key}),
            (self.kms.disable_key_rotation, {"KeyId": key}),
            (self.kms.rotate_key_on_demand, {"KeyId": key}),
            (self.kms.create_grant,
             {"KeyId": key, "GranteePrincipal": kit.ROOT, "Operations": ["Decrypt"]}),
        ]:
            self.refused("DisabledException", act, says=says, **arguments)
        # What says something about a key can be changed all the same.
        self.kms.update_key_description(KeyId=key, Description="resting")
        self.kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "b"}])
        self.kms.create_alias(AliasName="alias/resting", TargetKeyId=key)
        self.kms.get_key_rotation_status(KeyId=key)
        for _ in range(2):
            self.kms.enable_key(KeyId=key)
        self.assertEqual(self.kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")

    def test_deletion_and_its_cancelling(self):
        key = self.create()
        blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        now = datetime.datetime.now(datetime.timezone.utc)
        doomed = self.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
        self.assertEqual(doomed["KeyId"], kit.key_arn(key))
        self.assertEqual(doomed["KeyState"], "PendingDeletion")
        self.assertEqual(doomed["PendingWindowInDays"], 7)
        days = (doomed["DeletionDate"] - now).total_seconds() / 86400
        self.assertAlmostEqual(days, 7, delta=0.01)
        described = self.kms.describe_key(KeyId=key)["KeyMetadata"]
        self.assertEqual((described["KeyState"], described["Enabled"]), ("PendingDeletion", False))
        self.assertEqual(described["DeletionDate"], doomed["DeletionDate"])
        self.assertIn(key, [one["KeyId"] for one in self.pages(self.kms.list_keys, "Keys", 1000)])
        says = f"{kit.key_arn(key)} is pending deletion."
        for act, arguments in [
            (self.kms.encrypt, {"KeyId": key, "Plaintext": b"x"}),
            (self.kms.decrypt, {"CiphertextBlob": blob}),
            (self.kms.generate_data_key, {"KeyId": key, "KeySpec": "AES_256"}),
            (self.kms.schedule_key_deletion, {"KeyId": key}),
            (self.kms.enable_key, {"KeyId": key}),
            (self.kms.disable_key, {"KeyId": key}),
            (self.kms.update_key_description, {"KeyId": key, "Description": "x"}),
            (self.kms.tag_resource, {"KeyId": key, "Tags": [{"TagKey": "a", "TagValue": "b"}]}),
            (self.kms.untag_resource, {"KeyId": key, "TagKeys": ["a"]}),
            (self.kms.create_alias, {"AliasName": "alias/doomed", "TargetKeyId": key}),
            (self.kms.enable_key_rotation, {"KeyId": key}),
            (self.kms.rotate_key_on_demand, {"KeyId": key}),
            (self.kms.create_grant,
             {"KeyId": key, "GranteePrincipal": kit.ROOT, "Operations": ["Decrypt"]}),
        ]:
            self.refused("KMSInvalidStateException", act, says=says, **arguments)
        cancelled = self.kms.cancel_key_deletion(KeyId=key)
        self.assertEqual(cancelled["KeyId"], kit.key_arn(key))
        described = self.kms.describe_key(KeyId=key)["KeyMetadata"]
        self.assertEqual(described["KeyState"], "Disabled")
        self.assertNotIn("DeletionDate", described)
        self.refused(
            "KMSInvalidStateException", self.kms.cancel_key_deletion, KeyId=key,
            says=f"{kit.key_arn(key)} is not pending deletion.",
        )
        self.kms.enable_key(KeyId=key)
        self.assertEqual(self.kms.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")

    def test_how_long_a_deletion_waits(self):
        key = self.create()
        for days in [1, 6, 31, 365]:
            self.invalid(self.kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=days)
        for days in [0, 366]:
            self.invalid(self.raw.schedule_key_deletion, KeyId=key, PendingWindowInDays=days)
        self.assertEqual(self.state(key), "Enabled")
        doomed = self.kms.schedule_key_deletion(KeyId=key)
        self.assertEqual(doomed["PendingWindowInDays"], 30)


class Describing(kit.Case):
    def test_descriptions(self):
        key = self.create()
        for text in ["ein Schlüssel ☃", "", "x" * 8192]:
            self.kms.update_key_description(KeyId=key, Description=text)
            self.assertEqual(self.kms.describe_key(KeyId=key)["KeyMetadata"]["Description"], text)
        self.invalid(
            self.raw.update_key_description, KeyId=key, Description="x" * 8193,
            says=re.compile("at 'description' failed to satisfy constraint: Member must have "
                            "length less than or equal to 8192"),
        )

    def test_tags(self):
        key = self.create()
        put = lambda **tags: self.kms.tag_resource(
            KeyId=key, Tags=[{"TagKey": name, "TagValue": value} for name, value in tags.items()]
        )
        have = lambda: {tag["TagKey"]: tag["TagValue"] for tag in
                        self.pages(self.kms.list_resource_tags, "Tags", 2, KeyId=key)}
        put(one="1", two="2", three="")
        put(two="zwei", four="4")
        self.assertEqual(have(), {"one": "1", "two": "zwei", "three": "", "four": "4"})
        self.kms.untag_resource(KeyId=key, TagKeys=["one", "absent"])
        self.assertEqual(have(), {"two": "zwei", "three": "", "four": "4"})
        tag = lambda name, value="x": {"TagKey": name, "TagValue": value}
        self.refused("TagException", self.kms.tag_resource, KeyId=key,
                     Tags=[tag("a"), tag("a", "y")], says="Duplicate tag keys")
        for name in ["aws:mine", "AWS:mine"]:
            self.refused("TagException", self.kms.tag_resource, KeyId=key, Tags=[tag(name)],
                         says="Tags beginning with aws: are reserved")
        self.refused("TagException", self.kms.tag_resource, KeyId=key,
                     Tags=[tag(f"tag-{n}") for n in range(48)], says="Too many tags")
        put(**{f"tag-{n}": str(n) for n in range(47)})
        self.assertEqual(len(have()), 50)
        self.refused("TagException", self.kms.create_key, Tags=[tag("aws:x")])
        self.invalid(self.raw.tag_resource, KeyId=key, Tags=[tag("x" * 129)])
        self.invalid(self.raw.tag_resource, KeyId=key, Tags=[tag("x", "y" * 257)])
        self.refused("InvalidMarkerException", self.kms.list_resource_tags, KeyId=key, Marker="?")
        self.kms.create_alias(AliasName="alias/tagged", TargetKeyId=key)
        self.refused("NotFoundException", self.kms.list_resource_tags, KeyId="alias/tagged")
        self.refused("InvalidArnException", self.kms.list_resource_tags,
                     KeyId=kit.alias_arn("alias/tagged"))

    def test_when_a_key_was_last_used(self):
        key = self.create()
        used = self.kms.get_key_last_usage(KeyId=key)
        self.assertEqual(used["KeyId"], kit.key_arn(key))
        self.assertNotIn("KeyLastUsage", used)
        created = self.kms.describe_key(KeyId=key)["KeyMetadata"]["CreationDate"]
        self.assertEqual(used["KeyCreationDate"], created)
        self.kms.describe_key(KeyId=key)
        self.assertNotIn("KeyLastUsage", self.kms.get_key_last_usage(KeyId=key))
        before = datetime.datetime.now(datetime.timezone.utc)
        blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        last = self.kms.get_key_last_usage(KeyId=key)["KeyLastUsage"]
        self.assertEqual(last["Operation"], "Encrypt")
        self.assertLess(abs((last["Timestamp"] - before).total_seconds()), 10)
        self.assertTrue(last["KmsRequestId"])
        decrypted = self.kms.decrypt(CiphertextBlob=blob)
        last = self.kms.get_key_last_usage(KeyId=key)["KeyLastUsage"]
        self.assertEqual(last["Operation"], "Decrypt")
        self.assertEqual(last["KmsRequestId"], decrypted["ResponseMetadata"]["RequestId"])
        # What fails uses nothing.
        self.refused("InvalidCiphertextException", self.kms.decrypt, KeyId=key,
                     CiphertextBlob=blob, EncryptionContext={"other": "context"})
        self.dry(self.kms.encrypt, KeyId=key, Plaintext=b"x")
        again = self.kms.get_key_last_usage(KeyId=key)["KeyLastUsage"]
        self.assertEqual(again, last)


if __name__ == "__main__":
    kit.main()
