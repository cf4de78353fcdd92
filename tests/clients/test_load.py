"""Load generators, which must see no failure."""

import re
import subprocess

import pytest


@pytest.mark.parametrize("upstream", ["nginx", "nginx2", "node"])
@pytest.mark.parametrize("way", ["clear", "tls", "http1"])
def test_h2load_sees_no_failure(world, way, upstream):
    options = ["--h1"] if way == "http1" else []
    url = world.url(f"/{upstream}/q1/small", way == "tls")
    command = ["h2load", *options, "-n", "3000", "-c", "10", "-m", "20", "-H", f"x-api-key: {world.key}", url]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert re.search(r"3000 total, 3000 started, 3000 done, 3000 succeeded, 0 failed, 0 errored, 0 timeout", out), out
    assert "status codes: 3000 2xx, 0 3xx, 0 4xx, 0 5xx" in out, out


@pytest.mark.parametrize("upstream", ["nginx", "nginx2"])
def test_wrk_sees_no_failure(world, upstream):
    command = ["wrk", "-t1", "-c32", "-d2s", "-H", f"x-api-key: {world.key}", world.url(f"/{upstream}/q1/small")]
    out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "Requests/sec" in out and "Socket errors" not in out and "Non-2xx" not in out, out
