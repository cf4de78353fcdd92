"""What testssl.sh says of the TLS listener: nothing above low."""

import json


def test_the_scan_finds_nothing(scan):
    process, file = scan
    ended = process.wait(240)
    found = json.loads(file.read_text())
    unmade = {finding["id"] for finding in found if "connect problem" in finding["finding"]}
    # It takes openssl's early end for a failed connection where no certificate was shown, as none is in a resumed session.
    resumed = {"sessionresumption_ticket", "sessionresumption_ID"}
    assert ended <= len(unmade) and unmade <= resumed, file.read_text()
    assert {"TLS1_3", "cipher_order", "heartbleed", "cert_chain_of_trust"} <= {finding["id"].split(" ")[0] for finding in found}
    bad = [finding for finding in found if finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    assert not bad, bad
