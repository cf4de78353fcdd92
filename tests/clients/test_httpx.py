"""httpx, by HTTP/1.1 and HTTP/2, one after the other and many at one time."""

import asyncio
import ssl

import httpx
import pytest

from conftest import UPSTREAMS

WAYS = {
    "http1": ({"http1": True, "http2": False}, False),
    "http2": ({"http1": False, "http2": True}, False),
    "tls1": ({"http1": True, "http2": False}, True),
    "tls2": ({"http1": True, "http2": True}, True),
}


def client(world, way):
    options, tls = WAYS[way]
    context = ssl.create_default_context(cafile=world.ca)
    headers = {"x-api-key": world.key}
    limits = httpx.Limits(max_connections=20)
    base = world.url("", tls)
    return httpx.AsyncClient(base_url=base, headers=headers, verify=context, timeout=20, limits=limits, **options)


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("way", WAYS)
def test_requests_at_one_time_get_their_own_answers(world, way, upstream):
    async def talk():
        async with client(world, way) as session:

            async def one(number):
                body = str(number).encode() * 4_000
                answer = await session.post(f"/{upstream}/q1/echo", content=body)
                assert (answer.status_code, answer.content) == (200, body)
                return answer

            # Before it has heard the server's settings httpx can mistake its streams.
            await one(0)
            answers = await asyncio.gather(*(one(number) for number in range(30)))
            assert {answer.http_version for answer in answers} == {"HTTP/2" if way[-1] == "2" else "HTTP/1.1"}
            assert len({answer.headers["portcullis-decision-id"] for answer in answers}) == 30

    asyncio.run(talk())


@pytest.mark.parametrize("way", WAYS)
def test_a_body_of_unknown_length_streams(world, way):
    async def talk():
        async def pieces():
            for number in range(100):
                yield str(number % 10).encode() * 20_000
                await asyncio.sleep(0)

        async with client(world, way) as session:
            answer = await session.post("/node/q1/sum", content=pieces())
            assert answer.json()["bytes"] == 2_000_000
            denied = await session.post("/node/q2/sum", content=pieces())
            assert (denied.status_code, denied.json()["reason"]) == (403, "not_permitted")
            assert (await session.get("/node/q1/ok")).text == "ok"

    asyncio.run(talk())
