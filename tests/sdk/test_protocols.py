"""gRPC and WebSocket by real clients and servers, with the proxy between them."""

import asyncio
import os
import pathlib
import re
import signal
import subprocess
from concurrent import futures

import grpc
import pytest
import websockets

MODEL = """model
  schema 1.1
type user
type agent
type report
  relations
    define can_read: [user, agent]
"""

CONFIG = """listen:
  - address: 127.0.0.1:0
telemetry: {{ address: 127.0.0.1:0 }}
upstreams:
  calls: {{ url: "http://127.0.0.1:{calls}", protocol: http2 }}
  live: {{ url: "http://127.0.0.1:{live}" }}
identity:
  api_keys:
    keys:
{entry}        actors: [agent:writer]
policy:
  source: {{ file: {{ model: model.fga, tuples: tuples.yaml }} }}
audit: {{ file: audit.jsonl }}
routes:
{methods}
  - path: /live/{{report}}
    upstream: live
    operations:
      GET: {{ action: can_read, resource: "report:{{path.report}}", upgrade: websocket }}
"""

METHODS = ["Unary", "ServerStream", "ClientStream", "Both", "Fails"]


def method(name):
    resource = 'resource: "report:{header.x-report}"'
    return f"  - path: /acme.Reports/{name}\n    upstream: calls\n    operations:\n      POST: {{ action: can_read, {resource} }}"


def fails(_request, context):
    context.abort(grpc.StatusCode.ALREADY_EXISTS, "it is there: 100 %")


def service():
    def repeat(request, _context):
        return (request for _ in range(3))

    def joined(requests, _context):
        return b"+".join(requests)

    def each(requests, _context):
        return (request.upper() for request in requests)

    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(lambda request, _context: request[::-1]),
        "ServerStream": grpc.unary_stream_rpc_method_handler(repeat),
        "ClientStream": grpc.stream_unary_rpc_method_handler(joined),
        "Both": grpc.stream_stream_rpc_method_handler(each),
        "Fails": grpc.unary_unary_rpc_method_handler(fails),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("acme.Reports", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def write(folder, live, calls):
    """A folder with a configuration, and the key of an agent that may read the report q1."""
    made = subprocess.run(
        [os.environ["PORTCULLIS"], "key", "new", "--subject", "user:erin"], capture_output=True, text=True, check=True
    )
    (folder / "model.fga").write_text(MODEL)
    tuples = [f"- {{ user: {who}, relation: can_read, object: report:q1 }}\n" for who in ("user:erin", "agent:writer")]
    (folder / "tuples.yaml").write_text("".join(tuples))
    methods = "\n".join(method(name) for name in METHODS)
    config = CONFIG.format(calls=calls, live=live, entry=made.stderr, methods=methods)
    (folder / "portcullis.yaml").write_text(config)
    return made.stdout.strip()


@pytest.fixture(name="proxy", scope="module")
def fixture_proxy(tmp_path_factory):
    folder = pathlib.Path(tmp_path_factory.mktemp("protocols"))
    server, calls = service()
    loop = asyncio.new_event_loop()

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async def listen():
        return await websockets.serve(echo, "127.0.0.1", 0, subprotocols=["chat"])

    live = loop.run_until_complete(listen())
    key = write(folder, live.sockets[0].getsockname()[1], calls)
    command = [os.environ["PORTCULLIS"], "run", "--config", str(folder / "portcullis.yaml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if found := re.search(r"agents can connect.*address=(\S+)", line):
                break
        else:
            raise AssertionError("it did not come up")
        pump = futures.ThreadPoolExecutor(1).submit(lambda: [line for line in process.stderr])
        yield found[1], key, loop
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        pump.result(10)
    live.close()
    loop.run_until_complete(live.wait_closed())
    loop.close()
    server.stop(None)


def test_calls_of_every_kind_pass(proxy):
    address, key, _ = proxy
    metadata = [("x-api-key", key), ("x-report", "q1")]
    with grpc.insecure_channel(address) as channel:
        assert channel.unary_unary("/acme.Reports/Unary")(b"abc", metadata=metadata, timeout=10) == b"cba"
        stream = channel.unary_stream("/acme.Reports/ServerStream")(b"abc", metadata=metadata, timeout=10)
        assert list(stream) == [b"abc"] * 3
        large = b"x" * 1_000_000
        join = channel.stream_unary("/acme.Reports/ClientStream")
        assert join(iter([b"a", large, b"c"]), metadata=metadata, timeout=10) == b"a+" + large + b"+c"
        both = channel.stream_stream("/acme.Reports/Both")(iter([b"a", b"b"]), metadata=metadata, timeout=10)
        assert list(both) == [b"A", b"B"]


def test_a_call_says_why_it_failed(proxy):
    address, key, _ = proxy
    with grpc.insecure_channel(address) as channel:

        def failed(name, *metadata):
            with pytest.raises(grpc.RpcError) as raised:
                channel.unary_unary(f"/acme.Reports/{name}")(b"abc", metadata=metadata, timeout=10)
            return raised.value.code(), raised.value.details()

        own = ("x-api-key", key)
        assert failed("Fails", own, ("x-report", "q1")) == (grpc.StatusCode.ALREADY_EXISTS, "it is there: 100 %")
        code, details = failed("Unary", own, ("x-report", "q2"))
        assert code == grpc.StatusCode.PERMISSION_DENIED and details.startswith("not_permitted")
        assert failed("Unary", ("x-report", "q1"))[0] == grpc.StatusCode.UNAUTHENTICATED
        assert failed("Unary", own)[0] == grpc.StatusCode.INVALID_ARGUMENT
        assert failed("Unknown", own)[0] == grpc.StatusCode.PERMISSION_DENIED


def test_a_websocket_passes_and_a_denied_one_does_not(proxy):
    address, key, loop = proxy

    async def talk():
        headers = {"x-api-key": key}
        url = f"ws://{address}/live"
        async with websockets.connect(f"{url}/q1", additional_headers=headers, subprotocols=["chat"]) as connection:
            assert connection.subprotocol == "chat"
            for message in ("hello", b"\x00" * 200_000, ""):
                await connection.send(message)
                assert await connection.recv() == message
            await (await connection.ping())
        with pytest.raises(websockets.exceptions.InvalidStatus) as raised:
            async with websockets.connect(f"{url}/q2", additional_headers=headers):
                pass
        assert raised.value.response.status_code == 403

    loop.run_until_complete(asyncio.wait_for(talk(), 20))
