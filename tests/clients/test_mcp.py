"""The official SDK of the Model Context Protocol on both sides, by its versions with sessions and without."""

import asyncio
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent import futures

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

MODEL = """model
  schema 1.1
type user
type agent
type server
  relations
    define can_use: [user, agent]
type report
  relations
    define can_read: [user, agent]
"""

TUPLES = """- { user: user:erin, relation: can_use, object: server:reports }
- { user: agent:writer, relation: can_use, object: server:reports }
- { user: user:erin, relation: can_read, object: report:q1 }
- { user: user:erin, relation: can_read, object: report:q2 }
- { user: agent:writer, relation: can_read, object: report:q1 }
"""

CONFIG = """listen: [{{ address: 127.0.0.1:0 }}]
upstreams: {{ reports: {{ url: "http://127.0.0.1:{port}" }} }}
identity:
  api_keys:
    keys:
{entry}        actors: [agent:writer]
policy: {{ source: {{ file: {{ model: model.fga, tuples: tuples.yaml }} }} }}
audit: {{ file: audit.jsonl }}
routes:
  - path: /mcp
    upstream: reports
    mcp:
      server: {{ action: can_use, resource: "server:reports" }}
      tools: {{ read_report: {{ action: can_read, resource: "report:{{arguments.report}}" }} }}
      prompts: {{ summary: {{ action: can_read, resource: "report:{{arguments.report}}" }} }}
      resources: {{ "reports://{{report}}": {{ action: can_read, resource: "report:{{uri.report}}" }} }}
"""


def start_server():
    for _ in range(5):
        # It cannot choose a free port itself and say which.
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        script = pathlib.Path(__file__).parent / "mcp_server.py"
        process = subprocess.Popen([sys.executable, "-B", script, str(port)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process, port
            time.sleep(0.05)
        process.kill()
        process.wait()
    raise AssertionError("the server did not come up")


@pytest.fixture(name="reports", scope="module")
def fixture_reports(tmp_path_factory):
    """The proxy's address, the agent's key and the folder, with a server of MCP behind the proxy."""
    folder = pathlib.Path(tmp_path_factory.mktemp("mcp"))
    command = [os.environ["PORTCULLIS"], "key", "new", "--subject", "user:erin"]
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    server, port = start_server()
    (folder / "model.fga").write_text(MODEL)
    (folder / "tuples.yaml").write_text(TUPLES)
    (folder / "portcullis.yaml").write_text(CONFIG.format(port=port, entry=made.stderr))
    command = [os.environ["PORTCULLIS"], "run", "--config", str(folder / "portcullis.yaml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"agents can connect.*address=(\S+)", line):
                break
        else:
            raise AssertionError("it did not come up: " + "".join(said))
        pump = futures.ThreadPoolExecutor(1).submit(lambda: [line for line in process.stderr])
        yield found[1], made.stdout.strip(), folder
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
        pump.result(10)
    server.terminate()
    server.wait(10)


async def refused(awaitable, text):
    with pytest.raises(MCPError) as caught:
        await awaitable
    assert text in str(caught.value)


def calls_in(folder):
    """What was recorded so far; the last line may not be whole yet."""
    lines = (folder / "audit.jsonl").read_text().splitlines(keepends=True)
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return {(record.get("call"), record["outcome"]) for record in records}


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_sdk_calls_what_it_may(reports, mode, version):
    address, key, folder = reports

    async def talk():
        http = httpx2.AsyncClient(headers={"x-api-key": key})
        async with Client(streamable_http_client(f"http://{address}/mcp", http_client=http), mode=mode) as client:
            assert client.protocol_version == version
            assert [tool.name for tool in (await client.list_tools()).tools] == ["read_report"]
            assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["summary"]
            answer = await client.call_tool("read_report", {"report": "q1"})
            assert answer.content[0].text == "report q1"
            await refused(client.call_tool("read_report", {"report": "q2"}), "The request is not permitted")
            await refused(client.call_tool("delete_all", {}), "no rule is for what the message asks for")
            answer = await client.get_prompt("summary", {"report": "q1"})
            assert answer.messages[0].content.text == "sum up q1"
            await refused(client.get_prompt("summary", {"report": "q2"}), "The request is not permitted")
            assert (await client.read_resource("reports://q1")).contents[0].text == "resource q1"
            await refused(client.read_resource("reports://q2"), "The request is not permitted")

    asyncio.run(talk())
    expected = {
        ("tools/call read_report", "allow"),
        ("tools/call delete_all", "deny"),
        ("resources/read reports://q2", "deny"),
    }
    deadline = time.monotonic() + 10
    while not expected <= (calls := calls_in(folder)):
        assert time.monotonic() < deadline, calls
        time.sleep(0.02)
