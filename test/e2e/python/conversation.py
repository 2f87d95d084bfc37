"""A conversation of the Python `langgraph-sdk` with a Millrace deployment: conversation.py URL.

Prints one line for each step that passed. A line "CUT" asks whoever started this to break all open
connections: what follows only passes when the client found its way back by itself.
"""

import asyncio
import sys
import traceback
import uuid

from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import ConflictError, NotFoundError

STEPS = []


def step(function):
    STEPS.append(function)
    return function


def said(text):
    return {"messages": [{"role": "user", "content": text}]}


def contents(values):
    return [message["content"] for message in values["messages"]]


async def collect(stream):
    return [part async for part in stream]


async def until(condition, seconds=20):
    async def look():
        while not await condition():
            await asyncio.sleep(0.02)

    await asyncio.wait_for(look(), seconds)


async def raises(error, awaitable):
    try:
        await awaitable
    except error as caught:
        return caught
    raise AssertionError(f"expected {error.__name__}")


def count(steps, delay_ms):
    return {"steps": steps, "delayMs": delay_ms, "deaf": False}


def counted(parts):
    return [part.data["step"] for part in parts if part.event == "custom"]


@step
async def assistants(client):
    (default,) = await client.assistants.search(graph_id="chat")
    assert default["metadata"]["created_by"] == "system", default
    mine = await client.assistants.create("chat", name="Mine", metadata={"of": "python"})
    await client.assistants.update(mine["assistant_id"], name="Still mine")
    versions = await client.assistants.get_versions(mine["assistant_id"])
    assert [version["version"] for version in versions] == [2, 1], versions
    assert (await client.assistants.set_latest(mine["assistant_id"], 1))["name"] == "Mine"
    assert await client.assistants.count(metadata={"of": "python"}) == 1
    graph = await client.assistants.get_graph("chat")
    assert {node["id"] for node in graph["nodes"]} >= {"gate", "talk"}, graph
    assert (await client.assistants.get_schemas("chat"))["graph_id"] == "chat"
    assert await client.assistants.get_subgraphs("chat") == {}
    await client.assistants.delete(mine["assistant_id"])
    await raises(NotFoundError, client.assistants.get(mine["assistant_id"]))


@step
async def threads(client):
    mark = str(uuid.uuid4())
    thread = await client.threads.create(metadata={"mark": mark}, graph_id="chat", ttl=60)
    thread_id = thread["thread_id"]
    await raises(ConflictError, client.threads.create(thread_id=thread_id))
    await client.threads.create(thread_id=thread_id, if_exists="do_nothing")
    await client.threads.update(thread_id, metadata={"more": 1})
    (found,) = await client.threads.search(metadata={"mark": mark}, select=["thread_id", "metadata"])
    assert set(found) == {"thread_id", "metadata"} and found["metadata"]["more"] == 1, found
    assert await client.threads.count(metadata={"mark": mark}) == 1
    assert (await client.threads.get(thread_id))["status"] == "idle"
    assert await client.threads.prune([thread_id]) == {"pruned_count": 1}
    await raises(NotFoundError, client.threads.get(thread_id))


@step
async def wait_and_join(client):
    thread_id = (await client.threads.create())["thread_id"]
    values = await client.runs.wait(thread_id, "chat", input=said("hello"))
    assert contents(values) == ["hello", "Answer 1 to <hello>."], values
    created = []
    run = await client.runs.create(
        thread_id, "chat", input=said("again"), metadata={"tag": "mine"}, on_run_created=created.append
    )
    assert created == [{"run_id": run["run_id"], "thread_id": thread_id}], created
    assert contents(await client.runs.join(thread_id, run["run_id"]))[-1] == "Answer 2 to <again>."
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "success"
    listed = await client.runs.list(thread_id, select=["run_id", "status"])
    assert [one["status"] for one in listed] == ["success"] * 2, listed
    await client.runs.delete(thread_id, run["run_id"])
    await raises(NotFoundError, client.runs.get(thread_id, run["run_id"]))
    await raises(NotFoundError, client.runs.create(str(uuid.uuid4()), "chat", input=said("x")))
    error = await raises(Exception, client.runs.wait(thread_id, "failing", input={}))
    assert str(error) == "NoLuckError: this graph always fails", error


@step
async def stream_modes(client):
    thread_id = (await client.threads.create())["thread_id"]
    parts = await collect(
        client.runs.stream(
            thread_id,
            "chat",
            input=said("hi"),
            stream_mode=["values", "updates", "messages-tuple", "tasks", "checkpoints", "debug"],
            stream_subgraphs=True,
            context={"tone": "dry"},
            config={"tags": ["python"], "configurable": {"x": 1}},
            durability="sync",
        )
    )
    assert parts[0].event == "metadata" and parts[0].data["attempt"] == 1, parts[0]
    assert [part.id for part in parts] == [str(n) for n in range(len(parts))]
    tokens = [part.data[0]["content"] for part in parts if part.event.startswith("messages|talk:")]
    assert "".join(tokens) == "Answer 1 to <hi>.", tokens
    assert {part.event.split("|")[0] for part in parts} >= {"values", "updates", "tasks", "checkpoints", "debug"}


@step
async def stateless_runs_and_batch(client):
    values = await client.runs.wait(None, "chat", input=said("alone"))
    assert contents(values)[-1] == "Answer 1 to <alone>."
    parts = await collect(client.runs.stream(None, "chat", input=said("alone")))
    assert contents(parts[-1].data)[-1] == "Answer 1 to <alone>."
    runs = await client.runs.create_batch(
        [
            {"assistant_id": "chat", "input": said("one"), "on_completion": "keep"},
            {"assistant_id": "chat", "input": said("two")},
        ]
    )
    assert [run["status"] for run in runs] == ["pending", "pending"], runs
    kept = await client.runs.join(runs[0]["thread_id"], runs[0]["run_id"])
    assert contents(kept) == ["one", "Answer 1 to <one>."], kept


@step
async def reconnects_by_itself_in_mid_stream(client):
    thread_id = (await client.threads.create())["thread_id"]
    parts = []
    async for part in client.runs.stream(
        thread_id, "counter", input=count(120, 40), stream_mode="custom", stream_resumable=True
    ):
        parts.append(part)
        if len(parts) == 10:
            print("CUT", flush=True)
    assert counted(parts) == list(range(120)), counted(parts)
    assert [part.id for part in parts] == [str(n) for n in range(121)]


@step
async def join_stream_goes_on_after_last_event_id(client):
    thread_id = (await client.threads.create())["thread_id"]
    run = await client.runs.create(
        thread_id, "counter", input=count(20, 20), stream_mode="custom", stream_resumable=True
    )
    some = []
    async for part in client.runs.join_stream(thread_id, run["run_id"], last_event_id="-1"):
        some.append(part)
        if len(some) == 8:
            break
    rest = await collect(
        client.runs.join_stream(
            thread_id, run["run_id"], last_event_id=some[-1].id, stream_mode="custom"
        )
    )
    assert counted(some + rest) == list(range(20)), counted(some + rest)
    whole = await collect(client.runs.join_stream(thread_id, run["run_id"], last_event_id="-1"))
    assert [part.id for part in some + rest] == [part.id for part in whole]


@step
async def wait_finds_its_way_back(client):
    thread_id = (await client.threads.create())["thread_id"]
    waiting = asyncio.create_task(
        client.runs.wait(thread_id, "counter", input=count(100, 50), on_run_created=lambda _: None)
    )

    async def runs():
        listed = await client.runs.list(thread_id)
        return any(run["status"] == "running" for run in listed)

    await until(runs)
    print("CUT", flush=True)
    assert (await waiting)["done"] == ["count", "last"]
    assert len(await client.runs.list(thread_id)) == 1


@step
async def interrupt_and_resume(client):
    thread_id = (await client.threads.create())["thread_id"]
    values = await client.runs.wait(thread_id, "chat", input=said("order coffee"))
    assert values["__interrupt__"][0]["value"] == {"question": "Shall I order coffee?"}, values
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "interrupted" and len(thread["interrupts"]) == 1, thread
    assert (await client.threads.get_state(thread_id))["next"] == ["gate"]
    values = await client.runs.wait(thread_id, "chat", command={"resume": {"approved": True}})
    assert contents(values)[1:] == ["approved", "Answer 2 to <approved>."], values
    assert (await client.threads.get(thread_id))["status"] == "idle"
    await client.runs.wait(thread_id, "chat", input=said("x"), interrupt_before=["talk"])
    stopped = await client.threads.get_state(thread_id)
    assert contents(stopped["values"])[-1] == "x" and stopped["next"] == ["talk"], stopped
    values = await client.runs.wait(thread_id, "chat", input=None)
    assert contents(values)[-1] == "Answer 3 to <x>."


@step
async def cancel(client):
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "counter", input=count(1, 0))
    before = await client.threads.get_history(thread_id)

    async def running(run):
        return (await client.runs.get(thread_id, run["run_id"]))["status"] == "running"

    slow = await client.runs.create(thread_id, "counter", input=count(1000, 50))
    await until(lambda: running(slow))
    await client.runs.cancel(thread_id, slow["run_id"], wait=True)
    assert (await client.runs.get(thread_id, slow["run_id"]))["status"] == "interrupted"
    await client.runs.delete(thread_id, slow["run_id"])
    slow = await client.runs.create(thread_id, "counter", input=count(1000, 50))
    await until(lambda: running(slow))
    await client.runs.cancel(thread_id, slow["run_id"], wait=True, action="rollback")
    await raises(NotFoundError, client.runs.get(thread_id, slow["run_id"]))
    assert await client.threads.get_history(thread_id) == before
    late = await client.runs.create(thread_id, "counter", input=count(1, 0), after_seconds=600)
    await raises(
        ConflictError,
        client.runs.create(thread_id, "counter", input={}, multitask_strategy="reject"),
    )
    await client.runs.cancel_many(thread_id=thread_id, run_ids=[late["run_id"]])
    assert (await client.runs.get(thread_id, late["run_id"]))["status"] == "interrupted"


@step
async def state_history_and_copy(client):
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "chat", input=said("first"))
    await client.runs.wait(thread_id, "chat", input=said("second"), metadata={"turn": 2})
    history = await client.threads.get_history(thread_id)
    assert len(history) == 8, len(history)
    assert len(await client.threads.get_history(thread_id, metadata={"turn": 2})) == 4
    early = next(state for state in history if len(state["values"]["messages"]) == 2)
    at = await client.threads.get_state(thread_id, checkpoint=early["checkpoint"])
    assert at["values"] == early["values"]
    chosen = await client.threads.get_state(thread_id, select=["values.messages", "next"])
    assert set(chosen) == {"values", "next"} and set(chosen["values"]) == {"messages"}, chosen
    chosen = await client.threads.get_history(thread_id, select=["checkpoint"], limit=2)
    assert [list(state) for state in chosen] == [["checkpoint"]] * 2, chosen
    older = await client.threads.get_history(thread_id, before=early["checkpoint"])
    assert 0 < len(older) < 8, len(older)
    forked = await client.runs.wait(
        thread_id, "chat", input=said("fork"), checkpoint=early["checkpoint"]
    )
    assert contents(forked)[2:] == ["fork", "Answer 2 to <fork>."], forked
    updated = await client.threads.update_state(thread_id, said("by hand"), as_node="talk")
    assert updated["checkpoint"]["thread_id"] == thread_id
    state = await client.threads.get_state(thread_id, subgraphs=True)
    assert contents(state["values"])[-1] == "by hand" and state["next"] == []
    copy = await client.threads.copy(thread_id)
    await client.threads.delete(thread_id)
    copied = await client.threads.get_state(copy["thread_id"])
    assert copied["values"] == state["values"]
    made = await client.threads.create(
        graph_id="chat",
        supersteps=[
            {"updates": [{"values": said("old"), "as_node": "__input__"}]},
            {"updates": [{"values": said("old"), "as_node": "__start__"}]},
            {"updates": [{"values": said("older"), "as_node": "talk"}]},
        ],
    )
    values = (await client.threads.get_state(made["thread_id"]))["values"]
    assert contents(values) == ["old", "older"], values


@step
async def thread_stream(client):
    thread_id = (await client.threads.create())["thread_id"]

    async def first_two_ends():
        ended = 0
        async for part in await client.threads.join_stream(thread_id):
            if part.event == "values" and len(part.data["messages"]) in (2, 4):
                ended += 1
            if ended == 2:
                return contents(part.data)

    watching = asyncio.create_task(first_two_ends())
    for text in ("one", "two"):
        await client.runs.wait(thread_id, "chat", input=said(text))
    assert len(await asyncio.wait_for(watching, 20)) == 4


@step
async def thread_centric_streaming(client):
    for transport in ("sse", "websocket"):
        async with client.threads.stream(assistant_id="chat", transport=transport) as thread:
            await thread.run.start(input=said("order tea"))

            async def interrupted():
                return thread.interrupted

            await until(interrupted)
            assert thread.interrupts[0]["value"] == {"question": "Shall I order tea?"}
            await thread.run.respond({"approved": False})
            values = await thread.output.with_timeout(20)
            assert contents(values)[1] == "refused", values
            assert values["messages"][2]["content_blocks"][0]["text"] == "Answer 2 to <refused>."
        async with client.threads.stream(assistant_id="chat", transport=transport) as thread:
            await thread.run.start(input=said("tokens"))
            # Not `thread.messages`: that takes the root namespace only, and LangGraph.js puts a model's
            # messages into the namespace of its node.
            text = ""
            async for event in thread.subscribe(["messages"]):
                text += event["params"]["data"].get("delta", {}).get("text", "")
            assert text == "Answer 1 to <tokens>.", text


@step
async def crons(client):
    cron = await client.crons.create(
        "chat", schedule="0 9 * * 1", timezone="Europe/Berlin", input=said("monday"), metadata={"of": "py"}
    )
    thread_id = (await client.threads.create())["thread_id"]
    other = await client.crons.create_for_thread(
        thread_id, "chat", schedule="*/5 * * * *", input=said("often"), enabled=False
    )
    assert await client.crons.count(metadata={"of": "py"}) == 1
    (found,) = await client.crons.search(thread_id=thread_id)
    assert found["cron_id"] == other["cron_id"] and found["enabled"] is False, found
    changed = await client.crons.update(cron["cron_id"], schedule="0 10 * * 1", end_time=None)
    assert changed["schedule"] == "0 10 * * 1" and changed["next_run_date"], changed
    for one in (cron, other):
        await client.crons.delete(one["cron_id"])
    assert await client.crons.search(metadata={"of": "py"}) == []


@step
async def store(client):
    root = str(uuid.uuid4())
    await client.store.put_item([root, "notes"], "a", {"kind": "tea", "n": 1}, ttl=60)
    await client.store.put_item([root, "notes"], "b", {"kind": "coffee"}, index=False)
    item = await client.store.get_item([root, "notes"], "a", refresh_ttl=True)
    assert item["value"] == {"kind": "tea", "n": 1}, item
    found = await client.store.search_items([root], filter={"kind": "coffee"}, limit=5)
    assert [one["key"] for one in found["items"]] == ["b"], found
    names = await client.store.list_namespaces(prefix=[root], max_depth=2)
    assert names == {"namespaces": [[root, "notes"]]}, names
    await client.store.delete_item([root, "notes"], "a")
    assert await client.store.get_item([root, "notes"], "a") is None


def synchronous(client):
    thread = client.threads.create()
    parts = list(client.runs.stream(thread["thread_id"], "chat", input=said("sync")))
    assert contents(parts[-1].data)[-1] == "Answer 1 to <sync>."


async def talk(url, function):
    # A client a step: a connection that one has lost is not the trouble of the next.
    async with get_client(url=url, api_key=None) as client:
        await asyncio.wait_for(function(client), 60)


def main(url):
    failed = 0
    for function in [*STEPS, synchronous]:
        try:
            if function is synchronous:
                with get_sync_client(url=url, api_key=None) as client:
                    function(client)
            else:
                asyncio.run(talk(url, function))
            print(f"passed {function.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED {function.__name__}\n{traceback.format_exc()}", flush=True)
    if failed == 0:
        print(f"all {len(STEPS) + 1} steps passed", flush=True)
    sys.exit(failed)


main(sys.argv[1])
