"""curl, by every protocol that it speaks, before every upstream."""

import hashlib
import json
import subprocess

import pytest

from conftest import UPSTREAMS

# How curl speaks, and what it then says that it spoke.
WAYS = {
    "http1": (["--http1.1"], False, "1.1"),
    "http10": (["--http1.0"], False, "1"),
    "http2": (["--http2-prior-knowledge"], False, "2"),
    "tls1": (["--http1.1"], True, "1.1"),
    "tls2": (["--http2"], True, "2"),
}
LARGE = b"0123456789abcdef" * 400_000


def curl(world, *arguments, key=True, data=None):
    own = ["-H", f"x-api-key: {world.key}"] if key else []
    # What curl sends is a form, if nobody says otherwise, and forms are read before they are passed on.
    own += ["-H", "content-type: application/octet-stream"] if "--data-binary" in arguments else []
    command = ["curl", "-sS", "--max-time", "20", "--cacert", world.ca, *own, *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


@pytest.fixture(name="large", scope="module")
def fixture_large(tmp_path_factory):
    file = tmp_path_factory.mktemp("curl") / "large"
    file.write_bytes(LARGE)
    return file


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("way", WAYS)
def test_bodies_pass_both_ways(world, large, way, upstream):
    options, tls, version = WAYS[way]
    url = world.url(f"/{upstream}/q1", tls)
    # curl expects 100 before so large a body, by HTTP/1.1.
    told = json.loads(curl(world, *options, "--data-binary", f"@{large}", f"{url}/sum"))
    assert (told["bytes"], told["sha256"]) == (len(LARGE), hashlib.sha256(LARGE).hexdigest())
    assert "x-api-key" not in told["headers"] and told["headers"]["portcullis-subject"] == "user:erin"
    if upstream.startswith("node"):
        # nginx sends nothing to its own upstream while that one's answer waits.
        assert curl(world, *options, "-T", large, f"{url}/echo") == LARGE
    out = curl(world, *options, "-o", "/dev/null", "-w", "%{http_version} %{size_download}", f"{url}/bytes?size=5000001")
    assert out.decode() == f"{version} 5000001"


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("way", ["http1", "http2", "tls2"])
def test_answers_without_a_body_are_ended(world, way, upstream):
    options, tls, _ = WAYS[way]
    url = world.url(f"/{upstream}/q1", tls)
    head = curl(world, *options, "-I", f"{url}/bytes?size=77").decode().lower()
    assert " 200" in head and "content-length: 77" in head
    assert curl(world, *options, "-w", "%{http_code}", f"{url}/nothing") == b"204"
    assert curl(world, *options, "-w", "%{http_code}", f"{url}/unchanged") == b"304"


# Not "http2": in some versions curl finds no connection by prior knowledge again, whoever the server is.
@pytest.mark.parametrize("way", ["http1", "tls1", "tls2"])
def test_a_connection_is_used_again_after_every_kind_of_answer(world, way):
    options, tls, _ = WAYS[way]
    url = world.url("/node", tls)
    whats = ["/q1/ok", "/q2/ok", "/q1/nothing", "/q1/bytes?size=100000", "/q1/unchanged", "/q1/ok"]
    each = [argument for what in whats for argument in ("-o", "/dev/null", url + what)]
    out = curl(world, *options, "-w", "%{http_code}:%{num_connects} ", *each)
    assert out.decode().split() == ["200:1", "403:0", "204:0", "200:0", "304:0", "200:0"]


def test_a_denial_is_for_programs(world):
    for way in ("http1", "http2", "tls2"):
        options, tls, _ = WAYS[way]
        denied = json.loads(curl(world, *options, world.url("/node/q2/ok", tls)))
        assert (denied["status"], denied["reason"]) == (403, "not_permitted")
        record = world.record(denied["decision_id"])
        assert (record["outcome"], record["reason"], record["status"]) == ("deny", "not_permitted", 403)
        out = curl(world, *options, "-D", "-", "-o", "/dev/null", world.url("/node/q1/ok", tls), key=False).decode()
        assert " 401" in out.splitlines()[0] and "www-authenticate:" in out.lower()


@pytest.mark.parametrize("way", ["http1", "tls1", "tls2"])
def test_a_denied_upload_is_not_sent_and_hurts_nobody(world, large, way):
    options, tls, _ = WAYS[way]
    url = world.url("/node", tls)
    denied = curl(world, *options, "-w", " %{http_code}", "--data-binary", f"@{large}", f"{url}/q2/sum")
    assert denied.endswith(b" 403") and b"not_permitted" in denied
    record = world.record(json.loads(denied[:-4])["decision_id"])
    assert record["bytes"]["request"] == 0
    # An upstream too may answer before it has heard all.
    out = curl(world, *options, "-w", " %{http_code}", "--data-binary", f"@{large}", f"{url}/q1/refuse")
    assert out == b"no room 409"


def test_trailers_arrive(world):
    for way, upstream in ((way, upstream) for way in ("http2", "tls2") for upstream in ("node", "node2")):
        options, tls, _ = WAYS[way]
        out = curl(world, *options, "-i", world.url(f"/{upstream}/q1/trailers", tls)).decode()
        assert "with trailers" in out and out.strip().endswith("x-checksum: abc"), (way, upstream)
    out = curl(world, "--http1.1", "-i", "-H", "TE: trailers", "-H", "Connection: TE", world.url("/node/q1/trailers"))
    assert out.decode().strip().endswith("x-checksum: abc")
    assert b"x-checksum: abc" not in curl(world, "--http1.1", "-i", world.url("/node/q1/trailers"))


def test_events_arrive_as_they_come(world):
    for way, (options, tls, _) in WAYS.items():
        out = curl(world, *options, "-N", world.url("/node/q1/events", tls))
        assert out == b"data: 1\n\ndata: 2\n\ndata: 3\n\n", way


def test_many_at_one_time_share_a_connection(world):
    urls = [argument for number in range(40) for argument in ("-o", "/dev/null", world.url(f"/node2/q1/ok?{number}", True))]
    out = curl(world, "-Z", "--parallel-max", "40", "--http2", "-w", "%{http_code} ", *urls)
    assert out.decode().split() == ["200"] * 40
