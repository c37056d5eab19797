"""Whether the suites have asked for all that the installed botocore knows, and were answered as they
should: takes the files that they left."""

import json
import sys

import botocore.session

import kit

answers = {}
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        for operation, codes in json.load(file).items():
            answers.setdefault(operation, set()).update(codes)

known = set(botocore.session.get_session().get_service_model("kms").operation_names)
wrong = []
for operation in sorted(known):
    codes = answers.get(operation, set())
    if operation in kit.UNSUPPORTED:
        if codes != {"UnsupportedOperationException"}:
            wrong.append(f"{operation} is not supported, and answered {sorted(codes)}")
    elif "ok" not in codes:
        wrong.append(f"{operation} never succeeded: {sorted(codes)}")
    elif codes == {"ok"}:
        wrong.append(f"{operation} was never refused")
for operation in sorted(kit.UNSUPPORTED - known):
    wrong.append(f"{operation} is no operation any more")
unexpected = {code for codes in answers.values() for code in codes} & {
    "KMSInternalException", "InternalFailure", "ServiceUnavailableException", "413", "500",
}
if unexpected:
    wrong.append(f"these should never be answered: {sorted(unexpected)}")
print(f"{len(known)} operations, {len(answers)} called", *wrong, sep="\n")
sys.exit(bool(wrong))
