"""Aliases: made, moved, listed, deleted, and where AWS KMS takes them for a key."""

import kit


class Aliases(kit.Case):
    def test_the_life_of_an_alias(self):
        one, two = self.create(), self.create()
        name = "alias/app/db_key-1"
        self.kms.create_alias(AliasName=name, TargetKeyId=one)
        blob = self.kms.encrypt(KeyId=name, Plaintext=b"x")
        self.assertEqual(blob["KeyId"], kit.key_arn(one))
        self.refused("AlreadyExistsException", self.kms.create_alias, AliasName=name, TargetKeyId=two,
                     says=f"An alias with the name {kit.alias_arn(name)} already exists")
        self.kms.update_alias(AliasName=name, TargetKeyId=kit.key_arn(two))
        self.assertEqual(self.kms.encrypt(KeyId=name, Plaintext=b"x")["KeyId"], kit.key_arn(two))
        self.assertEqual(self.kms.list_aliases(KeyId=one)["Aliases"], [])
        [listed] = self.kms.list_aliases(KeyId=two)["Aliases"]
        self.assertEqual((listed["AliasName"], listed["AliasArn"], listed["TargetKeyId"]),
                         (name, kit.alias_arn(name), two))
        self.assertLessEqual(listed["CreationDate"], listed["LastUpdatedDate"])
        # The ciphertext names its key, wherever the alias leads by now.
        self.assertEqual(self.kms.decrypt(CiphertextBlob=blob["CiphertextBlob"])["Plaintext"], b"x")
        self.refused("IncorrectKeyException", self.kms.decrypt, KeyId=name,
                     CiphertextBlob=blob["CiphertextBlob"])
        self.kms.delete_alias(AliasName=name)
        gone = f"Alias {kit.alias_arn(name)} is not found."
        for act, arguments in [
            (self.kms.delete_alias, {"AliasName": name}),
            (self.kms.update_alias, {"AliasName": name, "TargetKeyId": one}),
            (self.kms.encrypt, {"KeyId": name, "Plaintext": b"x"}),
            (self.kms.describe_key, {"KeyId": kit.alias_arn(name)}),
        ]:
            self.refused("NotFoundException", act, says=gone, **arguments)

    def test_names_that_are_none(self):
        self.invalid(
            self.kms.create_alias, AliasName="mine", TargetKeyId=self.key,
            says='Alias must start with the prefix "alias/". Please see '
            "https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html",
        )
        self.invalid(
            self.kms.create_alias, AliasName="alias/with:colon", TargetKeyId=self.key,
            says="alias/with:colon contains invalid characters for an alias",
        )
        for name in ["alias/with space", "alias/ü", "alias/" + "x" * 251, ""]:
            self.invalid(self.raw.create_alias, AliasName=name, TargetKeyId=self.key)
        self.invalid(self.kms.create_alias, AliasName="alias/", TargetKeyId=self.key)
        for act, more in [("create", {"TargetKeyId": self.key}), ("delete", {}),
                          ("update", {"TargetKeyId": self.key})]:
            self.refused("NotAuthorizedException", getattr(self.kms, f"{act}_alias"),
                         AliasName="alias/aws/s3", **more)
        self.kms.create_alias(AliasName="alias/first", TargetKeyId=self.key)
        self.invalid(self.kms.create_alias, AliasName="alias/second", TargetKeyId="alias/first",
                     says="Aliases must refer to keys. Not aliases")

    def test_an_alias_keeps_its_kind_of_key(self):
        self.kms.create_alias(AliasName="alias/kind", TargetKeyId=self.key)
        for arguments in [
            {"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"},
            {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
        ]:
            self.invalid(self.kms.update_alias, AliasName="alias/kind",
                         TargetKeyId=self.create(**arguments))
        [listed] = [one for one in self.kms.list_aliases(KeyId=self.key)["Aliases"]
                    if one["AliasName"] == "alias/kind"]
        self.assertEqual(listed["TargetKeyId"], self.key)

    def test_lists_by_pages(self):
        key = self.create()
        names = [f"alias/page-{n:02}" for n in range(7)]
        for name in names:
            self.kms.create_alias(AliasName=name, TargetKeyId=key)
        of_key = self.pages(self.kms.list_aliases, "Aliases", 3, KeyId=key)
        self.assertEqual(sorted(one["AliasName"] for one in of_key), names)
        everything = [one["AliasName"] for one in self.pages(self.kms.list_aliases, "Aliases", 2)]
        self.assertEqual(len(everything), len(set(everything)))
        self.assertLessEqual(set(names), set(everything))
        self.refused("InvalidMarkerException", self.kms.list_aliases, Marker="?")
        self.assertGreaterEqual(len(self.kms.list_aliases(Limit=1000)["Aliases"]), 7)
        self.invalid(self.raw.list_aliases, Limit=1001)

    def test_a_key_has_fifty(self):
        key = self.create()
        for n in range(50):
            self.kms.create_alias(AliasName=f"alias/many-{n}", TargetKeyId=key)
        self.refused("LimitExceededException", self.kms.create_alias, AliasName="alias/many-50",
                     TargetKeyId=key)

    def test_operations_that_take_aliases(self):
        self.kms.create_alias(AliasName="alias/symmetric", TargetKeyId=self.key)
        sign = self.create(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        self.kms.create_alias(AliasName="alias/signing", TargetKeyId=sign)
        mac = self.create(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        self.kms.create_alias(AliasName="alias/mac", TargetKeyId=mac)
        for of in [lambda alias: alias, kit.alias_arn]:
            key = of("alias/symmetric")
            blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
            self.assertEqual(self.kms.decrypt(KeyId=key, CiphertextBlob=blob)["Plaintext"], b"x")
            self.kms.re_encrypt(CiphertextBlob=blob, SourceKeyId=key, DestinationKeyId=key)
            self.kms.generate_data_key(KeyId=key, KeySpec="AES_256")
            self.kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")
            self.kms.generate_data_key_pair(KeyId=key, KeyPairSpec="ECC_NIST_P256")
            self.kms.generate_data_key_pair_without_plaintext(
                KeyId=key, KeyPairSpec="ECC_NIST_P256")
            self.assertEqual(self.kms.describe_key(KeyId=key)["KeyMetadata"]["KeyId"], self.key)
            key = of("alias/signing")
            self.kms.get_public_key(KeyId=key)
            signed = self.kms.sign(KeyId=key, Message=b"x", SigningAlgorithm="ECDSA_SHA_256")
            self.kms.verify(KeyId=key, Message=b"x", SigningAlgorithm="ECDSA_SHA_256",
                            Signature=signed["Signature"])
            key = of("alias/mac")
            made = self.kms.generate_mac(KeyId=key, Message=b"x", MacAlgorithm="HMAC_SHA_256")
            self.kms.verify_mac(KeyId=key, Message=b"x", MacAlgorithm="HMAC_SHA_256",
                                Mac=made["Mac"])

    def test_operations_that_take_none(self):
        self.kms.create_alias(AliasName="alias/refused", TargetKeyId=self.key)
        for act, arguments in [
            ("cancel_key_deletion", {}),
            ("create_grant", {"GranteePrincipal": kit.ROOT, "Operations": ["Decrypt"]}),
            ("delete_imported_key_material", {}),
            ("disable_key", {}),
            ("disable_key_rotation", {}),
            ("enable_key", {}),
            ("enable_key_rotation", {}),
            ("get_key_last_usage", {}),
            ("get_key_policy", {}),
            ("get_key_rotation_status", {}),
            ("get_parameters_for_import",
             {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}),
            ("import_key_material", {
                "ImportToken": b"x", "EncryptedKeyMaterial": b"x",
                "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE",
            }),
            ("list_aliases", {}),
            ("list_grants", {}),
            ("list_key_policies", {}),
            ("list_key_rotations", {}),
            ("list_resource_tags", {}),
            ("put_key_policy", {"Policy": kit.policy(kit.allow_all())}),
            ("revoke_grant", {"GrantId": "0" * 64}),
            ("rotate_key_on_demand", {}),
            ("schedule_key_deletion", {}),
            ("tag_resource", {"Tags": [{"TagKey": "a", "TagValue": "b"}]}),
            ("untag_resource", {"TagKeys": ["a"]}),
            ("update_key_description", {"Description": "x"}),
        ]:
            with self.subTest(act=act):
                self.refused("NotFoundException", getattr(self.kms, act), KeyId="alias/refused",
                             says="Invalid keyId 'alias/refused'", **arguments)
                self.refused("InvalidArnException", getattr(self.kms, act),
                             KeyId=kit.alias_arn("alias/refused"), **arguments,
                             says="Key Aliases are not supported for this operation.")
        self.assertEqual(self.state(self.key), "Enabled")


if __name__ == "__main__":
    kit.main()
