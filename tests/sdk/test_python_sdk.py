"""OpenFGA's Python SDK, unmodified, against `portcullis serve-openfga`."""

import asyncio
import contextlib
import json
import os
import pathlib
import subprocess

import pytest
from openfga_sdk import ClientConfiguration, CreateStoreRequest, OpenFgaClient, ReadRequestTupleKey
from openfga_sdk.client.models import (
    ClientAssertion,
    ClientBatchCheckItem,
    ClientBatchCheckRequest,
    ClientCheckRequest,
    ClientExpandRequest,
    ClientListObjectsRequest,
    ClientListRelationsRequest,
    ClientReadChangesRequest,
    ClientTuple,
    ClientWriteRequest,
)
from openfga_sdk.client.models.list_users_request import ClientListUsersRequest
from openfga_sdk.client.models.write_conflict_opts import (
    ClientWriteRequestOnDuplicateWrites,
    ConflictOptions,
)
from openfga_sdk.client.models.write_transaction_opts import WriteTransactionOpts
from openfga_sdk.credentials import CredentialConfiguration, Credentials
from openfga_sdk.exceptions import NotFoundException, UnauthorizedException, ValidationException
from openfga_sdk.models import FgaObject, RelationshipCondition, UserTypeFilter
from openfga_sdk.sync import OpenFgaClient as SyncClient

MODEL = json.loads((pathlib.Path(__file__).parent / "model.json").read_text())


def served(*arguments):
    """A server at a free port, and its address."""
    command = [os.environ["PORTCULLIS"], "serve-openfga", "--listen", "127.0.0.1:0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


@contextlib.contextmanager
def server(*arguments):
    process, address = served(*arguments)
    try:
        yield address
    finally:
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture(scope="module")
def address():
    with server() as address:
        yield address


def tuple_of(user, relation, obj, **more):
    return ClientTuple(user=user, relation=relation, object=obj, **more)


def check_of(user, relation, obj, **more):
    return ClientCheckRequest(user=user, relation=relation, object=obj, **more)


def session(address, steps):
    """Makes a store with the model, takes the steps in it, and deletes it."""

    async def whole():
        async with OpenFgaClient(ClientConfiguration(api_url=address)) as client:
            store = await client.create_store(CreateStoreRequest(name="python-sdk"))
            client.set_store_id(store.id)
            model = await client.write_authorization_model(MODEL)
            client.set_authorization_model_id(model.authorization_model_id)
            await client.write(
                ClientWriteRequest(
                    writes=[
                        tuple_of("user:erin", "viewer", "document:a"),
                        tuple_of("user:bob", "viewer", "document:b"),
                        tuple_of("user:erin", "member", "team:x"),
                        tuple_of("team:x#member", "viewer", "document:c"),
                        tuple_of(
                            "user:mia", "viewer", "document:a", condition=RelationshipCondition(name="small", context={})
                        ),
                    ]
                )
            )
            await steps(client)
            await client.delete_store()

    asyncio.run(whole())


def test_stores_and_models_are_made_read_and_listed(address):
    async def steps(client):
        assert (await client.get_store()).name == "python-sdk"
        assert client.get_store_id() in [store.id for store in (await client.list_stores({"page_size": 100})).stores]
        first = client.get_authorization_model_id()
        assert (await client.read_authorization_model()).authorization_model.id == first
        second = (await client.write_authorization_model(MODEL)).authorization_model_id
        assert (await client.read_latest_authorization_model()).authorization_model.id == second
        page = await client.read_authorization_models({"page_size": 1})
        assert [model.id for model in page.authorization_models] == [second]
        rest = await client.read_authorization_models({"continuation_token": page.continuation_token})
        assert [model.id for model in rest.authorization_models] == [first]

    session(address, steps)


def test_checks_are_answered(address):
    async def steps(client):
        async def allowed(*question, **more):
            return (await client.check(check_of(*question, **more))).allowed

        assert await allowed("user:erin", "can_view", "document:a")
        assert await allowed("user:erin", "can_view", "document:c")
        assert not await allowed("user:bob", "can_view", "document:a")
        assert await allowed("user:mia", "can_view", "document:a", context={"x": 1})
        assert not await allowed("user:mia", "can_view", "document:a", context={"x": 10})
        contextual = [tuple_of("user:bob", "viewer", "document:a")]
        assert await allowed("user:bob", "can_view", "document:a", contextual_tuples=contextual)

        items = [
            ClientBatchCheckItem(user="user:erin", relation="viewer", object=f"document:{name}", correlation_id=name)
            for name in ["a", "b", "c"]
        ]
        batch = await client.batch_check(ClientBatchCheckRequest(checks=items))
        assert {item.correlation_id: item.allowed for item in batch.result} == {"a": True, "b": False, "c": True}
        many = [ClientBatchCheckItem(user="user:erin", relation="viewer", object=f"document:{n}") for n in range(120)]
        assert len((await client.batch_check(ClientBatchCheckRequest(checks=many))).result) == 120
        each = await client.client_batch_check(
            [check_of("user:erin", "viewer", "document:a"), check_of("user:erin", "owner", "document:a")]
        )
        assert each[0].allowed
        assert isinstance(each[1].error, ValidationException)

    session(address, steps)


def test_lists_are_answered(address):
    async def steps(client):
        question = ClientListObjectsRequest(user="user:erin", relation="can_view", type="document")
        assert sorted((await client.list_objects(question)).objects) == ["document:a", "document:c"]
        assert sorted([found.object async for found in client.streamed_list_objects(question)]) == [
            "document:a",
            "document:c",
        ]
        relations = ClientListRelationsRequest(user="user:erin", relations=["viewer", "blocked"], object="document:a")
        assert await client.list_relations(relations) == ["viewer"]
        users = await client.list_users(
            ClientListUsersRequest(
                object=FgaObject(type="document", id="a"),
                relation="can_view",
                user_filters=[UserTypeFilter(type="user")],
                context={"x": 1},
            )
        )
        assert sorted(user.object.id for user in users.users) == ["erin", "mia"]
        tree = await client.expand(ClientExpandRequest(relation="viewer", object="document:a"))
        assert tree.tree.root.leaf.users.users == ["user:erin", "user:mia"]
        tree = await client.expand(ClientExpandRequest(relation="can_view", object="document:a"))
        assert tree.tree.root.difference.base.leaf.computed.userset == "document:a#viewer"

    session(address, steps)


def test_tuples_and_changes_are_read_by_pages(address):
    async def steps(client):
        page = await client.read(ReadRequestTupleKey(object="document:a"), {"page_size": 1})
        assert len(page.tuples) == 1
        options = {"page_size": 1, "continuation_token": page.continuation_token}
        last = await client.read(ReadRequestTupleKey(object="document:a"), options)
        assert [page.tuples[0].key.user, last.tuples[0].key.user] == ["user:erin", "user:mia"]
        assert last.tuples[0].key.condition.name == "small"
        assert last.continuation_token == ""
        assert len((await client.read(ReadRequestTupleKey())).tuples) == 5
        await client.delete_tuples([tuple_of("user:bob", "viewer", "document:b")])
        seen, token = [], None
        while True:
            options = {"page_size": 2} | ({"continuation_token": token} if token else {})
            changes = await client.read_changes(ClientReadChangesRequest(type="document"), options)
            if not changes.changes:
                break
            seen += [(change.tuple_key.user, change.operation) for change in changes.changes]
            token = changes.continuation_token
        assert seen == [
            ("user:erin", "TUPLE_OPERATION_WRITE"),
            ("user:bob", "TUPLE_OPERATION_WRITE"),
            ("team:x#member", "TUPLE_OPERATION_WRITE"),
            ("user:mia", "TUPLE_OPERATION_WRITE"),
            ("user:bob", "TUPLE_OPERATION_DELETE"),
        ]

    session(address, steps)


def test_writes_are_whole_or_each_by_itself(address):
    async def steps(client):
        known, new = tuple_of("user:erin", "viewer", "document:a"), tuple_of("user:new", "viewer", "document:a")
        with pytest.raises(ValidationException) as refused:
            await client.write(ClientWriteRequest(writes=[new, known]))
        assert refused.value.parsed_exception.code == "write_failed_due_to_invalid_input"
        assert not (await client.check(check_of("user:new", "viewer", "document:a"))).allowed

        apart = {"transaction": WriteTransactionOpts(disabled=True, max_per_chunk=1, max_parallel_requests=2)}
        each = await client.write(ClientWriteRequest(writes=[new, known]), apart)
        assert [(write.tuple_key.user, write.success) for write in each.writes] == [
            ("user:new", True),
            ("user:erin", False),
        ]
        assert (await client.check(check_of("user:new", "viewer", "document:a"))).allowed

        lenient = ConflictOptions(on_duplicate_writes=ClientWriteRequestOnDuplicateWrites.IGNORE)
        await client.write(ClientWriteRequest(writes=[known]), {"conflict": lenient})
        await client.delete_tuples([new])
        assert not (await client.check(check_of("user:new", "viewer", "document:a"))).allowed

    session(address, steps)


def test_assertions_are_kept(address):
    async def steps(client):
        assert (await client.read_assertions()).assertions == []
        assertion = ClientAssertion(user="user:erin", relation="can_view", object="document:a", expectation=True)
        await client.write_assertions([assertion])
        [kept] = (await client.read_assertions()).assertions
        assert (kept.tuple_key.user, kept.expectation) == ("user:erin", True)

    session(address, steps)


def test_refusals_are_errors_of_their_kind(address):
    async def steps(client):
        async def code(question):
            with pytest.raises(ValidationException) as refused:
                await question
            return refused.value.parsed_exception.code

        assert await code(client.check(check_of("user:erin", "owner", "document:a"))) == "validation_error"
        assert await code(client.check(check_of("user:mia", "can_view", "document:a"))) == "validation_error"
        contextual = [tuple_of("user:erin", "can_view", "document:a")]
        question = check_of("user:erin", "viewer", "document:a", contextual_tuples=contextual)
        assert await code(client.check(question)) == "invalid_tuple"
        wrong = ClientListObjectsRequest(user="user:erin", relation="can_view", type="folder")
        assert await code(client.list_objects(wrong)) == "type_not_found"
        broken = {"schema_version": "1.1", "type_definitions": [{"type": "a", "relations": {"r": {"this": {}}}}]}
        assert await code(client.write_authorization_model(broken)) == "invalid_authorization_model"
        unknown = {"authorization_model_id": "01H0H015178Y2V4CX10C2KGHF4"}
        question = client.check(check_of("user:erin", "viewer", "document:a"), unknown)
        assert await code(question) == "authorization_model_not_found"

        mine = client.get_store_id()
        client.set_store_id("01H0H015178Y2V4CX10C2KGHF4")
        with pytest.raises(NotFoundException) as missing:
            await client.get_store()
        assert missing.value.parsed_exception.code == "store_id_not_found"
        client.set_store_id(mine)

    session(address, steps)


def test_a_token_is_asked_for():
    with server("--token", "secret") as address:
        with SyncClient(ClientConfiguration(api_url=address)) as client, pytest.raises(UnauthorizedException):
            client.list_stores()
        key = Credentials(method="api_token", configuration=CredentialConfiguration(api_token="secret"))
        with SyncClient(ClientConfiguration(api_url=address, credentials=key)) as client:
            assert client.list_stores().stores == []
