"""Tenants: each is to the others, and to the account, what another AWS account is."""

import kit

BLOB = b"x" * 64


class Tenants(kit.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.acme = kit.client(kit.credential("ann-test", "acme"))
        cls.globex = kit.client(kit.credential("gil-test", "globex"))
        cls.acme_arn, cls.globex_arn = kit.user_arn("acme/ann-test"), kit.user_arn("globex/gil-test")

    def everything(self, key, blob):
        """Each operation on a key, as a stranger would try it."""
        return [
            ("cancel_key_deletion", {"KeyId": key}),
            ("create_alias", {"AliasName": "alias/stolen", "TargetKeyId": key}),
            ("create_grant",
             {"KeyId": key, "GranteePrincipal": self.globex_arn, "Operations": ["Decrypt"]}),
            ("decrypt", {"CiphertextBlob": blob}),
            ("decrypt", {"CiphertextBlob": blob, "KeyId": key}),
            ("delete_imported_key_material", {"KeyId": key}),
            ("derive_shared_secret",
             {"KeyId": key, "KeyAgreementAlgorithm": "ECDH", "PublicKey": BLOB}),
            ("describe_key", {"KeyId": key}),
            ("disable_key", {"KeyId": key}),
            ("disable_key_rotation", {"KeyId": key}),
            ("enable_key", {"KeyId": key}),
            ("enable_key_rotation", {"KeyId": key}),
            ("encapsulate", {"KeyId": key, "EncapsulationAlgorithm": "ML_KEM"}),
            ("decapsulate", {"KeyId": key, "EncapsulationAlgorithm": "ML_KEM",
                             "SharedSecretCiphertextBlob": BLOB}),
            ("encrypt", {"KeyId": key, "Plaintext": b"x"}),
            ("encrypt", {"KeyId": key, "Plaintext": b"x", "DryRun": True}),
            ("generate_data_key", {"KeyId": key, "KeySpec": "AES_256"}),
            ("generate_data_key_pair", {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"}),
            ("generate_data_key_pair_without_plaintext",
             {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"}),
            ("generate_data_key_without_plaintext", {"KeyId": key, "KeySpec": "AES_256"}),
            ("generate_mac", {"KeyId": key, "Message": b"x", "MacAlgorithm": "HMAC_SHA_256"}),
            ("get_key_last_usage", {"KeyId": key}),
            ("get_key_policy", {"KeyId": key}),
            ("get_key_rotation_status", {"KeyId": key}),
            ("get_parameters_for_import", {
                "KeyId": key, "WrappingAlgorithm": "RSAES_OAEP_SHA_256",
                "WrappingKeySpec": "RSA_2048"}),
            ("get_public_key", {"KeyId": key}),
            ("import_key_material", {
                "KeyId": key, "ImportToken": BLOB, "EncryptedKeyMaterial": BLOB,
                "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}),
            ("list_aliases", {"KeyId": key}),
            ("list_grants", {"KeyId": key}),
            ("list_key_policies", {"KeyId": key}),
            ("list_key_rotations", {"KeyId": key}),
            ("list_resource_tags", {"KeyId": key}),
            ("put_key_policy", {"KeyId": key, "Policy": kit.policy(kit.allow_all())}),
            ("re_encrypt", {"CiphertextBlob": blob, "DestinationKeyId": key}),
            ("revoke_grant", {"KeyId": key, "GrantId": "0" * 64}),
            ("rotate_key_on_demand", {"KeyId": key}),
            ("schedule_key_deletion", {"KeyId": key}),
            ("sign", {"KeyId": key, "Message": b"x", "SigningAlgorithm": "ECDSA_SHA_256"}),
            ("tag_resource", {"KeyId": key, "Tags": [{"TagKey": "a", "TagValue": "b"}]}),
            ("untag_resource", {"KeyId": key, "TagKeys": ["a"]}),
            ("update_key_description", {"KeyId": key, "Description": "x"}),
            ("verify", {"KeyId": key, "Message": b"x", "Signature": b"x",
                        "SigningAlgorithm": "ECDSA_SHA_256"}),
            ("verify_mac", {"KeyId": key, "Message": b"x", "Mac": b"x",
                            "MacAlgorithm": "HMAC_SHA_256"}),
        ]

    def test_strangers_are_refused_everything(self):
        key = self.create(self.acme)
        blob = self.acme.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        for act, arguments in self.everything(key, blob):
            with self.subTest(act=act):
                error = self.denied(getattr(self.globex, act), **arguments)
                self.assertIn(f"User: {self.globex_arn} is not authorized to perform: kms:",
                              error["Message"])
                self.assertIn("because the resource does not exist in this Region, no "
                              "resource-based policies allow access", error["Message"])
        self.assertEqual(self.acme.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")
        self.assertEqual(self.acme.list_aliases(KeyId=key)["Aliases"], [])

    def test_the_account_oversees_and_does_not_use(self):
        key = self.create(self.acme)
        blob = self.acme.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        self.kms.disable_key(KeyId=key)
        self.refused("DisabledException", self.acme.decrypt, CiphertextBlob=blob)
        self.assertEqual(self.state(key), "Disabled")
        self.kms.enable_key(KeyId=key)
        self.kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
        self.kms.cancel_key_deletion(KeyId=key)
        self.kms.enable_key(KeyId=key)
        for act in ["get_key_last_usage", "get_key_policy", "get_key_rotation_status",
                    "list_grants", "list_key_rotations", "list_resource_tags"]:
            getattr(self.kms, act)(KeyId=key)
        allowed = {
            "cancel_key_deletion", "describe_key", "disable_key", "enable_key", "get_key_last_usage",
            "get_key_policy", "get_key_rotation_status", "list_grants", "list_key_rotations",
            "list_resource_tags", "schedule_key_deletion",
        }
        for act, arguments in self.everything(key, blob):
            if act not in allowed:
                with self.subTest(act=act):
                    self.denied(getattr(self.kms, act), **arguments)
        self.assertEqual(self.acme.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")
        # Not the other way round.
        own = self.create()
        for act in ["disable_key", "describe_key", "schedule_key_deletion"]:
            self.denied(getattr(self.acme, act), KeyId=own)

    def test_a_policy_opens_a_key_to_whom_it_names(self):
        key = self.create(self.acme)
        self.acme.put_key_policy(KeyId=key, Policy=kit.policy(
            kit.allow_all(),
            {"Effect": "Allow", "Principal": {"AWS": self.globex_arn},
             "Action": ["kms:Encrypt", "kms:DescribeKey"], "Resource": "*"},
        ))
        # The root of the key's policy is its tenant: not the account, nor other tenants.
        blob = self.globex.encrypt(KeyId=kit.key_arn(key), Plaintext=b"x")["CiphertextBlob"]
        self.globex.describe_key(KeyId=key)
        self.denied(self.globex.decrypt, CiphertextBlob=blob)
        self.denied(self.kms.encrypt, KeyId=key, Plaintext=b"x")
        other = kit.client(kit.credential("guy-test", "globex"))
        self.denied(other.encrypt, KeyId=key, Plaintext=b"x")
        self.assertEqual(self.acme.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")
        self.acme.put_key_policy(KeyId=key, Policy=kit.policy(kit.allow_all()))
        self.denied(self.globex.encrypt, KeyId=key, Plaintext=b"x")

    def test_a_grant_opens_a_key_to_whom_it_names(self):
        key = self.create(self.acme)
        made = self.acme.create_grant(
            KeyId=key, GranteePrincipal=self.globex_arn, Operations=["Decrypt"])
        blob = self.acme.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        self.assertEqual(self.globex.decrypt(CiphertextBlob=blob)["Plaintext"], b"x")
        self.denied(self.globex.encrypt, KeyId=key, Plaintext=b"x")
        self.denied(self.globex.revoke_grant, KeyId=key, GrantId=made["GrantId"])
        self.denied(self.globex.retire_grant, GrantToken=made["GrantToken"])
        self.denied(self.kms.revoke_grant, KeyId=key, GrantId=made["GrantId"])
        self.assertEqual(
            self.globex.list_retirable_grants(RetiringPrincipal=self.acme_arn)["Grants"], [])
        self.acme.revoke_grant(KeyId=key, GrantId=made["GrantId"])
        self.denied(self.globex.decrypt, CiphertextBlob=blob)

    def test_whoever_made_a_grant_retires_it(self):
        key = self.create(self.acme)
        self.acme.put_key_policy(KeyId=key, Policy=kit.policy(
            {**kit.allow_all(), "Action": ["kms:PutKeyPolicy", "kms:ListGrants"]},
            {"Effect": "Allow", "Principal": {"AWS": self.globex_arn}, "Action": "kms:CreateGrant",
             "Resource": "*"},
        ))
        made = self.globex.create_grant(
            KeyId=kit.key_arn(key), GranteePrincipal=self.globex_arn, Operations=["DescribeKey"])
        self.globex.describe_key(KeyId=kit.key_arn(key))
        # The account that issued it is the stranger's, and not the key's owner's.
        which = {"KeyId": kit.key_arn(key), "GrantId": made["GrantId"]}
        self.denied(self.acme.retire_grant, **which)
        self.globex.retire_grant(**which)
        self.denied(self.globex.describe_key, KeyId=kit.key_arn(key))

    def test_lists_and_aliases_are_apart(self):
        keys, aliases = {}, {}
        for who, name in [(self.acme, "acme"), (self.globex, "globex"), (self.kms, "account")]:
            keys[name] = {self.create(who) for _ in range(3)}
            for key in keys[name]:
                who.create_alias(AliasName=f"alias/only-{name}-{key}", TargetKeyId=key)
            who.create_alias(AliasName="alias/shared-name", TargetKeyId=min(keys[name]))
        for who, name in [(self.acme, "acme"), (self.globex, "globex"), (self.kms, "account")]:
            listed = {one["KeyId"] for one in self.pages(who.list_keys, "Keys", 2)}
            self.assertLessEqual(keys[name], listed)
            aliases = {one["AliasName"] for one in self.pages(who.list_aliases, "Aliases", 2)}
            for other in {"acme", "globex", "account"} - {name}:
                self.assertEqual(listed & keys[other], set())
                self.assertEqual([one for one in aliases if one.startswith(f"alias/only-{other}")], [])
            described = who.describe_key(KeyId="alias/shared-name")["KeyMetadata"]
            self.assertEqual(described["KeyId"], min(keys[name]))
        one = min(keys["acme"])
        self.refused("NotFoundException", self.globex.encrypt, KeyId=f"alias/only-acme-{one}",
                     Plaintext=b"x")
        self.acme.delete_alias(AliasName="alias/shared-name")
        self.globex.describe_key(KeyId="alias/shared-name")


if __name__ == "__main__":
    kit.main()
