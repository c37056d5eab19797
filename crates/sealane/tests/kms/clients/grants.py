"""Grants: made, used, constrained, passed on, retired, revoked."""

import kit

OTHER = "arn:aws:iam::999999999999:user/other"


class Grants(kit.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.bob = kit.client(kit.credential("bob-test"))
        cls.carol = kit.client(kit.credential("carol-test"))
        # Whoever is of the key's own account may retire grants: see test_retiring.
        cls.dave = kit.client(kit.credential("dave-test", "acme"))
        cls.dave_arn = kit.user_arn("acme/dave-test")
        cls.bob_arn, cls.carol_arn = kit.user_arn("bob-test"), kit.user_arn("carol-test")

    def closed_key(self, **more):
        """A key that nobody but `self.kms` has by its policy."""
        return self.create(Policy=kit.policy(kit.allow_all(kit.user_arn("grants-test"))), **more)

    def grant(self, key, operations, who=None, by=None, **more):
        made = (by or self.kms).create_grant(
            KeyId=key, GranteePrincipal=who or self.bob_arn, Operations=operations, **more)
        return made["GrantId"], made["GrantToken"]

    def test_a_grant_opens_what_it_names(self):
        key = self.closed_key()
        self.denied(self.bob.encrypt, KeyId=key, Plaintext=b"x")
        grant, token = self.grant(key, ["Encrypt", "DescribeKey"])
        self.assertRegex(grant, r"^[a-f0-9]{64}$")
        blob = self.bob.encrypt(KeyId=key, Plaintext=b"x", GrantTokens=[token])["CiphertextBlob"]
        self.bob.encrypt(KeyId=key, Plaintext=b"x")
        self.bob.describe_key(KeyId=key)
        self.denied(self.bob.decrypt, CiphertextBlob=blob)
        self.denied(self.carol.encrypt, KeyId=key, Plaintext=b"x", GrantTokens=[token])
        for tokens in [["nonsense"], [token[:-1]], [token, "x"]]:
            self.refused("InvalidGrantTokenException", self.bob.encrypt, KeyId=key, Plaintext=b"x",
                         GrantTokens=tokens)
        self.kms.revoke_grant(KeyId=key, GrantId=grant)
        self.denied(self.bob.encrypt, KeyId=key, Plaintext=b"x")
        self.refused("NotFoundException", self.kms.revoke_grant, KeyId=key, GrantId=grant,
                     says=f"Grant ID {grant} not found")

    def test_each_operation(self):
        key = self.closed_key()
        blob = self.kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        pair = {"KeyId": key, "KeyPairSpec": "ECC_NIST_P256"}
        for operations, act, arguments in [
            (["Encrypt"], "encrypt", {"KeyId": key, "Plaintext": b"x"}),
            (["Decrypt"], "decrypt", {"CiphertextBlob": blob}),
            (["ReEncryptFrom", "ReEncryptTo"], "re_encrypt",
             {"CiphertextBlob": blob, "DestinationKeyId": key}),
            (["GenerateDataKey"], "generate_data_key", {"KeyId": key, "KeySpec": "AES_256"}),
            (["GenerateDataKeyWithoutPlaintext"], "generate_data_key_without_plaintext",
             {"KeyId": key, "KeySpec": "AES_256"}),
            (["GenerateDataKeyPair"], "generate_data_key_pair", pair),
            (["GenerateDataKeyPairWithoutPlaintext"], "generate_data_key_pair_without_plaintext",
             pair),
            (["DescribeKey"], "describe_key", {"KeyId": key}),
        ]:
            call = getattr(self.bob, act)
            self.denied(call, **arguments)
            if len(operations) == 2:
                one, _ = self.grant(key, operations[:1])
                self.denied(call, **arguments)
                self.kms.revoke_grant(KeyId=key, GrantId=one)
            made, _ = self.grant(key, operations)
            call(**arguments)
            self.kms.revoke_grant(KeyId=key, GrantId=made)
            self.denied(call, **arguments)
        for arguments, operations in [
            ({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}, ["Sign", "Verify", "GetPublicKey"]),
            ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, ["GenerateMac", "VerifyMac"]),
            ({"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"}, ["DeriveSharedSecret"]),
        ]:
            self.grant(self.closed_key(**arguments), operations)
            self.invalid(self.kms.create_grant, KeyId=key, GranteePrincipal=self.bob_arn,
                         Operations=operations)

    def test_constraints(self):
        key = self.closed_key()
        how = {"KeyId": key, "Plaintext": b"x"}
        equals = {"EncryptionContextEquals": {"tenant": "acme"}}
        made, _ = self.grant(key, ["Encrypt"], Constraints=equals)
        self.bob.encrypt(EncryptionContext={"tenant": "acme"}, **how)
        for other in [{}, {"tenant": "globex"}, {"tenant": "acme", "more": "x"}]:
            self.denied(self.bob.encrypt, EncryptionContext=other, **how)
        [listed] = self.kms.list_grants(KeyId=key)["Grants"]
        self.assertEqual(listed["Constraints"], equals)
        self.kms.revoke_grant(KeyId=key, GrantId=made)
        subset = {"EncryptionContextSubset": {"tenant": "acme"}}
        self.grant(key, ["Encrypt"], Constraints=subset)
        for good in [{"tenant": "acme"}, {"tenant": "acme", "more": "x"}]:
            self.bob.encrypt(EncryptionContext=good, **how)
        for other in [{}, {"more": "x"}, {"tenant": "Acme"}]:
            self.denied(self.bob.encrypt, EncryptionContext=other, **how)
        pair = self.closed_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")
        self.invalid(self.kms.create_grant, KeyId=pair, GranteePrincipal=self.bob_arn,
                     Operations=["Encrypt"], Constraints=subset)
        self.invalid(self.kms.create_grant, KeyId=key, GranteePrincipal=self.bob_arn,
                     Operations=["Encrypt"], Constraints={**equals, **subset},
                     says="More than one constraint supplied")

    def test_by_name_it_is_the_same_grant(self):
        key = self.closed_key()
        first, token = self.grant(key, ["Encrypt", "Decrypt"], Name="backup")
        again, other_token = self.grant(key, ["Decrypt", "Encrypt"], Name="backup")
        self.assertEqual(first, again)
        self.assertNotEqual(token, other_token)
        others = {
            self.grant(key, ["Encrypt"], Name="backup")[0], self.grant(key, ["Encrypt"])[0],
            self.grant(key, ["Encrypt"])[0],
            self.grant(key, ["Encrypt", "Decrypt"], Name="other")[0],
        }
        self.assertEqual(len(others | {first}), 5)

    def test_lists(self):
        key = self.closed_key()
        made = {self.grant(key, ["Encrypt"], who=self.bob_arn)[0] for _ in range(4)}
        made |= {self.grant(key, ["Decrypt"], who=self.carol_arn, Name="one",
                            RetiringPrincipal=self.bob_arn)[0]}
        listed = self.pages(self.kms.list_grants, "Grants", 2, KeyId=key)
        self.assertEqual({one["GrantId"] for one in listed}, made)
        of_carol = self.kms.list_grants(KeyId=key, GranteePrincipal=self.carol_arn)["Grants"]
        [one] = of_carol
        self.assertEqual(self.kms.list_grants(KeyId=key, GrantId=one["GrantId"])["Grants"], of_carol)
        del one["CreationDate"]
        self.assertEqual(one, {
            "KeyId": kit.key_arn(key), "GrantId": one["GrantId"], "Name": "one",
            "GranteePrincipal": self.carol_arn, "RetiringPrincipal": self.bob_arn,
            "IssuingAccount": kit.ROOT, "Operations": ["Decrypt"],
        })
        self.refused("InvalidGrantIdException", self.kms.list_grants, KeyId=key, GrantId="x")
        self.refused("InvalidMarkerException", self.kms.list_grants, KeyId=key, Marker="?")
        self.denied(self.bob.list_grants, KeyId=key)

    def test_retiring(self):
        key = self.closed_key()
        retiring = {"RetiringPrincipal": self.carol_arn}
        ids = [self.grant(key, ["Encrypt"], who=self.dave_arn, **retiring) for _ in range(5)]
        listed = self.pages(self.carol.list_retirable_grants, "Grants", 2,
                            RetiringPrincipal=self.carol_arn)
        self.assertLessEqual({one for one, _ in ids}, {one["GrantId"] for one in listed})
        self.assertEqual(self.kms.list_retirable_grants(RetiringPrincipal=OTHER)["Grants"], [])
        self.invalid(self.raw.list_retirable_grants)
        self.refused("InvalidMarkerException", self.kms.list_retirable_grants,
                     RetiringPrincipal=OTHER, Marker="?")
        (one, token), (two, _), (three, _), *_ = ids
        # The grantee may not, unless its grant says so; the account that issued it may.
        self.denied(self.dave.retire_grant, GrantToken=token)
        self.dry(self.carol.retire_grant, GrantToken=token)
        self.carol.retire_grant(GrantToken=token)
        self.refused("NotFoundException", self.carol.retire_grant, GrantToken=token)
        self.carol.retire_grant(KeyId=kit.key_arn(key), GrantId=two)
        self.kms.retire_grant(KeyId=kit.key_arn(key), GrantId=three)
        left = {one["GrantId"] for one in self.kms.list_grants(KeyId=key)["Grants"]}
        self.assertEqual(left, {grant for grant, _ in ids[3:]})
        own, _ = self.grant(key, ["Encrypt", "RetireGrant"], who=self.dave_arn)
        self.dave.retire_grant(KeyId=kit.key_arn(key), GrantId=own)
        self.refused("InvalidArnException", self.carol.retire_grant, KeyId=key, GrantId=ids[3][0])
        self.refused("InvalidGrantTokenException", self.carol.retire_grant, GrantToken="nonsense")
        for arguments in [{}, {"GrantId": ids[3][0]}, {"KeyId": kit.key_arn(key)},
                          {"GrantToken": ids[3][1], "KeyId": kit.key_arn(key), "GrantId": ids[3][0]}]:
            self.invalid(self.carol.retire_grant, **arguments)
        self.refused("InvalidGrantIdException", self.kms.revoke_grant, KeyId=key, GrantId="x")

    def test_passing_on(self):
        key = self.closed_key()
        subset = {"EncryptionContextSubset": {"tenant": "acme"}}
        self.grant(key, ["Encrypt", "CreateGrant"], Constraints=subset)
        narrower = {"EncryptionContextEquals": {"tenant": "acme", "more": "x"}}
        self.grant(key, ["Encrypt"], who=self.carol_arn, by=self.bob, Constraints=narrower)
        self.carol.encrypt(KeyId=key, Plaintext=b"x", EncryptionContext={"tenant": "acme", "more": "x"})
        give = {"KeyId": key, "GranteePrincipal": self.carol_arn}
        self.denied(self.bob.create_grant, Operations=["Encrypt"], **give)
        self.denied(self.bob.create_grant, Operations=["Decrypt"], Constraints=subset, **give)
        self.denied(self.carol.create_grant, Operations=["Encrypt"], Constraints=narrower, **give)

    def test_dry_runs(self):
        key = self.closed_key()
        give = {"KeyId": key, "GranteePrincipal": self.bob_arn, "Operations": ["Encrypt"]}
        self.dry(self.kms.create_grant, **give)
        self.denied(self.bob.create_grant, DryRun=True, **give)
        self.assertEqual(self.kms.list_grants(KeyId=key)["Grants"], [])
        grant, token = self.grant(key, ["Encrypt"], who=self.dave_arn)
        self.dry(self.kms.revoke_grant, KeyId=key, GrantId=grant)
        self.denied(self.bob.revoke_grant, KeyId=key, GrantId=grant, DryRun=True)
        self.denied(self.dave.retire_grant, GrantToken=token, DryRun=True)
        self.assertEqual(len(self.kms.list_grants(KeyId=key)["Grants"]), 1)

    def test_grants_that_are_none(self):
        give = {"KeyId": self.key, "GranteePrincipal": self.bob_arn}
        self.invalid(self.kms.create_grant, Operations=["CreateGrant"], **give,
                     says="Grants must not contain only the CreateGrant operation.")
        self.invalid(self.kms.create_grant, Operations=["Sign"], **give)
        self.invalid(self.raw.create_grant, Operations=["Destroy"], **give)
        self.invalid(self.raw.create_grant, Operations=["Encrypt"], Name="a b", **give)
        self.refused("InvalidArnException", self.kms.create_grant, KeyId=self.key,
                     GranteePrincipal="nobody", Operations=["Encrypt"])
        self.refused("InvalidArnException", self.kms.create_grant, Operations=["Encrypt"],
                     RetiringPrincipal="nobody", **give)


if __name__ == "__main__":
    kit.main()
