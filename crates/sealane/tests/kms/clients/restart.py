"""Changes keys again and again while somebody kills the server, then looks whether all that was
acknowledged is there.

Ends once the file named in the first argument exists."""

import json
import os
import sys
import time

from botocore.exceptions import BotoCoreError

import kit

me = kit.Credential({"access_key_id": os.environ["KMS_ID"], "secret_access_key": os.environ["KMS_SECRET"]})
kms = kit.client(me)
done_file = sys.argv[1]

# By key: what it was last told, all of it acknowledged.
keys = {}
lost = 0


def attempt(act, **arguments):
    """What was answered; None where the connection ended first, and nobody knows what happened."""
    global lost
    try:
        return act(**arguments)
    except (BotoCoreError, ConnectionError):
        lost += 1
        time.sleep(0.05)
        return None


def once(n):
    made = attempt(kms.create_key, Description=f"key {n}")
    if made is None:
        return
    key = made["KeyMetadata"]["KeyId"]
    known = keys[key] = {"description": f"key {n}", "blobs": [], "rotations": 0, "unsure": set()}
    blob = attempt(kms.encrypt, KeyId=key, Plaintext=b"before")
    if blob:
        known["blobs"].append(("before", blob["CiphertextBlob"]))
    if attempt(kms.rotate_key_on_demand, KeyId=key):
        known["rotations"] += 1
    else:
        known["unsure"].add("rotations")
    blob = attempt(kms.encrypt, KeyId=key, Plaintext=b"after")
    if blob:
        known["blobs"].append(("after", blob["CiphertextBlob"]))
    if attempt(kms.create_alias, AliasName=f"alias/restart-{n}", TargetKeyId=key):
        known["alias"] = f"alias/restart-{n}"
    granted = attempt(kms.create_grant, KeyId=key, GranteePrincipal=kit.ROOT, Operations=["Decrypt"])
    if granted:
        known["grant"] = granted["GrantId"]
    if attempt(kms.tag_resource, KeyId=key, Tags=[{"TagKey": "n", "TagValue": str(n)}]):
        known["tag"] = str(n)
    if n % 3 == 0:
        if attempt(kms.disable_key, KeyId=key):
            known["state"] = "Disabled"
        else:
            known["unsure"].add("state")


def check(key, known):
    described = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert described["Description"] == known["description"]
    if "state" not in known["unsure"]:
        assert described["KeyState"] == known.get("state", "Enabled"), described
    if described["KeyState"] == "Disabled":
        kms.enable_key(KeyId=key)
    for plaintext, blob in known["blobs"]:
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == plaintext.encode()
    rotations = len(kms.list_key_rotations(KeyId=key)["Rotations"])
    unsure = 1 if "rotations" in known["unsure"] else 0
    assert known["rotations"] <= rotations <= known["rotations"] + unsure
    if "alias" in known:
        [alias] = kms.list_aliases(KeyId=key)["Aliases"]
        assert alias["AliasName"] == known["alias"]
        assert kms.describe_key(KeyId=known["alias"])["KeyMetadata"]["KeyId"] == key
    if "grant" in known:
        assert known["grant"] in [one["GrantId"] for one in kms.list_grants(KeyId=key)["Grants"]]
    if "tag" in known:
        assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "n", "TagValue": known["tag"]}]


n = 0
while not os.path.exists(done_file):
    once(n)
    n += 1
for key, known in keys.items():
    check(key, known)
listed = {one["KeyId"] for page in kms.get_paginator("list_keys").paginate() for one in page["Keys"]}
assert set(keys) <= listed
print(json.dumps({"keys": len(keys), "lost": lost}))
