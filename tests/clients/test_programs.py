"""Clients in other languages: Node's (fetch, undici, node:http, node:http2), and Go's net/http."""

import subprocess

from conftest import HERE


def test_clients_of_node(world):
    ended = subprocess.run(["node", HERE / "node_clients.js"], env=world.told(), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr


def test_clients_of_go(world):
    program = world.folder / "go-clients"
    subprocess.run(["go", "build", "-o", program, "."], cwd=HERE / "go", check=True, timeout=300)
    ended = subprocess.run([program], env=world.told(), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
