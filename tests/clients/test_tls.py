"""What testssl.sh says of the TLS listener: nothing above low."""

import json
import subprocess


def test_the_scan_finds_nothing(scan):
    process, file = scan
    assert process.wait(240) == 0, process.stdout.read()
    found = json.loads(file.read_text())
    assert {"TLS1_3", "cipher_order", "heartbleed", "cert_chain_of_trust"} <= {finding["id"].split(" ")[0] for finding in found}
    bad = [finding for finding in found if finding["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    assert not bad, bad
