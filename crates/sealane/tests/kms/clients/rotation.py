"""Rotation: automatic, on demand, and what is listed of it."""

import datetime

import kit


class Rotation(kit.Case):
    def test_automatic(self):
        key = self.create()
        self.assertEqual(self.status(key), {"KeyRotationEnabled": False, "KeyId": kit.key_arn(key)})
        self.kms.enable_key_rotation(KeyId=key)
        status = self.status(key)
        self.assertEqual((status["KeyRotationEnabled"], status["RotationPeriodInDays"]), (True, 365))
        self.assertAlmostEqual(self.days_until(status["NextRotationDate"]), 365, delta=0.01)
        self.kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
        status = self.status(key)
        self.assertEqual(status["RotationPeriodInDays"], 90)
        self.assertAlmostEqual(self.days_until(status["NextRotationDate"]), 90, delta=0.01)
        # On demand leaves the schedule as it is.
        self.kms.rotate_key_on_demand(KeyId=key)
        self.assertEqual(self.status(key)["NextRotationDate"], status["NextRotationDate"])
        # A disabled key keeps its schedule; one that is to end shows none.
        self.kms.disable_key(KeyId=key)
        self.assertTrue(self.status(key)["KeyRotationEnabled"])
        self.kms.schedule_key_deletion(KeyId=key)
        self.assertFalse(self.status(key)["KeyRotationEnabled"])
        self.kms.cancel_key_deletion(KeyId=key)
        self.assertTrue(self.status(key)["KeyRotationEnabled"])
        self.kms.enable_key(KeyId=key)
        for _ in range(2):
            self.kms.disable_key_rotation(KeyId=key)
        self.assertFalse(self.status(key)["KeyRotationEnabled"])

    def status(self, key):
        status = self.kms.get_key_rotation_status(KeyId=key)
        del status["ResponseMetadata"]
        return status

    def days_until(self, date):
        return (date - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400

    def test_periods(self):
        key = self.create()
        for days in [90, 2560]:
            self.kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=days)
        for days in [0, 89, 2561]:
            self.invalid(self.raw.enable_key_rotation, KeyId=key, RotationPeriodInDays=days)

    def test_on_demand(self):
        key = self.create()
        blobs, materials = [], []
        for n in range(4):
            made = self.kms.encrypt(KeyId=key, Plaintext=b"x%d" % n)
            blobs.append(made["CiphertextBlob"])
            materials.append(self.kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"])
            rotated = self.kms.rotate_key_on_demand(KeyId=key)
            self.assertEqual(rotated["KeyId"], kit.key_arn(key))
        self.assertEqual(len(set(materials)), 4)
        for n, (blob, material) in enumerate(zip(blobs, materials)):
            opened = self.kms.decrypt(CiphertextBlob=blob)
            self.assertEqual((opened["Plaintext"], opened["KeyMaterialId"]), (b"x%d" % n, material))
        moved = self.kms.re_encrypt(CiphertextBlob=blobs[0], DestinationKeyId=key)
        self.assertEqual(moved["SourceKeyMaterialId"], materials[0])
        self.assertNotIn(moved["DestinationKeyMaterialId"], materials)
        listed = self.pages(self.kms.list_key_rotations, "Rotations", 3, KeyId=key)
        self.assertEqual(len(listed), 4)
        for one in listed:
            self.assertEqual(one["RotationType"], "ON_DEMAND")
            self.assertLess(abs(self.days_until(one["RotationDate"])), 0.01)
            self.assertIn(one["KeyId"], [key, kit.key_arn(key)])
        everything = self.pages(self.kms.list_key_rotations, "Rotations", 2, KeyId=key,
                                IncludeKeyMaterial="ALL_KEY_MATERIAL")
        states = [one["KeyMaterialState"] for one in everything]
        self.assertEqual((len(states), states.count("CURRENT")), (5, 1))
        self.assertLess(set(materials), {one["KeyMaterialId"] for one in everything})
        self.refused("InvalidMarkerException", self.kms.list_key_rotations, KeyId=key, Marker="?")

    def test_on_demand_is_limited(self):
        key = self.create()
        for _ in range(25):
            self.kms.rotate_key_on_demand(KeyId=key)
        self.refused(
            "LimitExceededException", self.kms.rotate_key_on_demand, KeyId=key,
            says="The on-demand rotations limit has been reached for the given keyId. No more "
            f"on-demand rotations can be performed for this key: {kit.key_arn(key)}",
        )

    def test_keys_that_do_not_rotate(self):
        for arguments in [
            {"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"},
            {"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"},
        ]:
            key = self.create(**arguments)
            for act in [self.kms.enable_key_rotation, self.kms.disable_key_rotation,
                        self.kms.get_key_rotation_status, self.kms.list_key_rotations,
                        self.kms.rotate_key_on_demand]:
                self.refused("UnsupportedOperationException", act, KeyId=key)


if __name__ == "__main__":
    kit.main()
