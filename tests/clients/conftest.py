"""One proxy for all clients: in the clear and with TLS, before Node and nginx by HTTP/1.1, HTTP/2 and TLS."""

import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time
from concurrent import futures

import pytest

HERE = pathlib.Path(__file__).parent
# Where Debian has nginx.
os.environ["PATH"] += ":/usr/sbin"

MODEL = """model
  schema 1.1
type user
type agent
type report
  relations
    define can_use: [user, agent]
"""

CONFIG = """listen:
  - address: 127.0.0.1:0
  - address: 127.0.0.1:0
    tls: {{ certificate: leaf.pem, key: leaf.key }}
telemetry: {{ address: 127.0.0.1:0 }}
workers: 2
upstreams:
  node: {{ url: "http://127.0.0.1:{node}" }}
  node2: {{ url: "http://127.0.0.1:{node2}", protocol: http2 }}
  nginx: {{ url: "unix:nginx.sock" }}
  nginx2: {{ url: "unix:nginx2.sock", protocol: http2 }}
  nginxs: {{ url: "https://localhost:{nginxs}", ca_file: ca.pem }}
identity:
  api_keys:
    keys:
{entry}        actors: [agent:writer]
policy:
  source: {{ file: {{ model: model.fga, tuples: tuples.yaml }} }}
audit: {{ file: audit.jsonl }}
routes:
{routes}
"""

ROUTE = """  - path: /{upstream}/{{report}}/{{what}}
    upstream: {upstream}
    operations:
      GET: {use}
      HEAD: {use}
      POST: {use}
      PUT: {use}
""".replace("{use}", '{{ action: can_use, resource: "report:{{path.report}}" }}')

# HTTP/2 in the clear and over TLS, static files, and what is sent there goes on to Node.
NGINX = """daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
# It closes connections that rest where it has few left, whoever is about to use them.
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 100m;
  http2_max_concurrent_streams 32;
  server {{
    listen unix:{folder}/nginx.sock;
    listen unix:{folder}/nginx2.sock http2;
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {folder}/leaf.pem;
    ssl_certificate_key {folder}/leaf.key;
    location ~ /small$ {{ default_type text/plain; return 200 "ok"; }}
    location ~ /file$ {{ root {folder}; try_files /large =404; }}
    location / {{ proxy_pass http://127.0.0.1:{node}; }}
  }}
}}
"""

LIVE = """  - path: /live/{report}
    upstream: node
    operations:
      GET: { action: can_use, resource: "report:{path.report}", upgrade: websocket }
"""

UPSTREAMS = ["node", "node2", "nginx", "nginx2", "nginxs"]


@dataclasses.dataclass
class World:
    folder: pathlib.Path
    clear: str
    tls: str
    telemetry: str
    key: str

    def url(self, path, tls=False):
        return f"https://localhost:{self.tls.rsplit(':', 1)[1]}{path}" if tls else f"http://{self.clear}{path}"

    @property
    def ca(self):
        return str(self.folder / "ca.pem")

    def told(self):
        """What programs in other languages are told of it."""
        told = {"clear": f"http://{self.clear}", "tls": self.url("", tls=True), "key": self.key, "ca": self.ca}
        return os.environ | {"WORLD": json.dumps(told)}

    def record(self, decision):
        """The record of a decision, which is written when its answer has ended."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            for line in (self.folder / "audit.jsonl").read_text().splitlines():
                if decision in line:
                    return json.loads(line)
            time.sleep(0.02)
        raise AssertionError("the record was not written")


def certificates(folder):
    """An authority, and a server's certificate that says where its revocations would be."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "365", "-subj", "/CN=Test authority")
    openssl("req", *key, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=localhost")
    (folder / "leaf.ext").write_text(
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n"
        "basicConstraints=CA:FALSE\ncrlDistributionPoints=URI:http://localhost/ca.crl\n"
    )
    authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"]
    openssl("x509", "-req", "-in", "leaf.csr", *authority, "-days", "180", "-extfile", "leaf.ext", "-out", "leaf.pem")


def start_node():
    process = subprocess.Popen(["node", HERE / "upstream.js"], stdout=subprocess.PIPE, text=True)
    return process, json.loads(process.stdout.readline())


def start_nginx(folder, node):
    with open(folder / "large", "wb") as file:
        file.truncate(20 * 1024 * 1024)
    for _ in range(5):
        # It cannot choose a free port itself.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, node=node))
        process = subprocess.Popen(["nginx", "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process, port
            if process.poll() is not None:
                break
            time.sleep(0.02)
        process.kill()
        process.wait()
    raise AssertionError("nginx did not come up: " + (folder / "nginx.log").read_text())


@pytest.fixture(name="world", scope="session")
def fixture_world(tmp_path_factory):
    folder = pathlib.Path(tmp_path_factory.mktemp("clients"))
    certificates(folder)
    made = subprocess.run(
        [os.environ["PORTCULLIS"], "key", "new", "--subject", "user:erin"], capture_output=True, text=True, check=True
    )
    node, (http1, http2) = start_node()
    nginx, nginxs = start_nginx(folder, http1)
    (folder / "model.fga").write_text(MODEL)
    tuples = [f"- {{ user: {who}, relation: can_use, object: report:q1 }}\n" for who in ("user:erin", "agent:writer")]
    (folder / "tuples.yaml").write_text("".join(tuples))
    routes = "".join(ROUTE.format(upstream=name) for name in UPSTREAMS) + LIVE
    config = CONFIG.format(node=http1, node2=http2, nginxs=nginxs, entry=made.stderr, routes=routes)
    (folder / "portcullis.yaml").write_text(config)
    command = [os.environ["PORTCULLIS"], "run", "--config", str(folder / "portcullis.yaml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        data, telemetry, said = [], None, []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"agents can connect.*address=(\S+)", line):
                data.append(found[1])
            if found := re.search(r"metrics and health.*address=(\S+)", line):
                telemetry = found[1]
            if len(data) == 2 and telemetry:
                break
        else:
            raise AssertionError("it did not come up: " + "".join(said))
        pump = futures.ThreadPoolExecutor(1).submit(lambda: [line for line in process.stderr])
        yield World(folder, *data, telemetry, made.stdout.strip())
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        pump.result(10)
    for server in (nginx, node):
        server.terminate()
        server.wait(10)


@pytest.fixture(name="scan", scope="session", autouse=True)
def fixture_scan(world):
    """testssl.sh waits more than it works: it runs beside the other tests."""
    file = world.folder / "testssl.json"
    parts = ["--protocols", "--std", "--fs", "--server-preference", "--server-defaults", "--vulnerable"]
    options = ["--quiet", "--color", "0", "--warnings", "off", "--ip", "one", "--add-ca", world.ca, "--jsonfile", file]
    command = ["testssl", *options, *parts, world.url("", tls=True)]
    process = subprocess.Popen(command, cwd=world.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    pump = futures.ThreadPoolExecutor(1).submit(process.stdout.read)
    yield process, file
    process.kill()
    process.wait()
    pump.result(10)
