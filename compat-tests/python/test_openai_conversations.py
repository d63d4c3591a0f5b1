"""Conversations with the official SDK, and as the sessions of openai-agents."""

import agents
import openai
import pytest
from agents import Agent, OpenAIConversationsSession, OpenAIResponsesModel, Runner, function_tool
from conftest import call

agents.set_tracing_disabled(True)


def said(text):
    return {"type": "message", "role": "user", "content": text}


@pytest.fixture
def conversation(client):
    return client.conversations.create(metadata={"topic": "tests"})


def texts(client, conversation):
    items = client.conversations.items.list(conversation.id, order="asc")
    return [item.content[0].text for item in items if item.type == "message"]


def test_conversation_is_created_changed_and_deleted(client, conversation):
    assert (conversation.object, conversation.metadata) == ("conversation", {"topic": "tests"})
    assert client.conversations.retrieve(conversation.id) == conversation
    changed = client.conversations.update(conversation.id, metadata={"topic": "more"})
    assert changed.metadata == {"topic": "more"}
    deleted = client.conversations.delete(conversation.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (conversation.id, "conversation.deleted", True)
    with pytest.raises(openai.NotFoundError):
        client.conversations.retrieve(conversation.id)


def test_conversation_items_are_added_listed_and_deleted(client):
    conversation = client.conversations.create(items=[said("a")])
    added = client.conversations.items.create(conversation.id, items=[said(text) for text in "bcd"])
    assert [item.content[0].text for item in added.data] == ["b", "c", "d"]
    # Pages of two items.
    items = list(client.conversations.items.list(conversation.id, order="asc", limit=2, include=["reasoning.encrypted_content"]))
    assert [item.content[0].text for item in items] == ["a", "b", "c", "d"]
    one = client.conversations.items.retrieve(items[1].id, conversation_id=conversation.id)
    assert one == items[1]
    assert client.conversations.items.delete(one.id, conversation_id=conversation.id) == conversation
    assert texts(client, conversation) == ["a", "c", "d"]
    with pytest.raises(openai.NotFoundError):
        client.conversations.items.retrieve(one.id, conversation_id=conversation.id)


def test_responses_continue_the_conversation(client, conversation, upstream, marker):
    first = client.responses.create(model="gpt-4o", input='a [[say="A."]]', conversation=conversation.id)
    assert first.conversation.id == conversation.id
    with client.responses.stream(
        model="gpt-4o", input=f'{marker} [[say="B."]]', conversation={"id": conversation.id}
    ) as stream:
        second = stream.get_final_response()
    assert second.output_text == "B."
    assert [role for role, _ in upstream.turns()] == ["user", "assistant", "user"]
    assert texts(client, conversation) == ['a [[say="A."]]', "A.", f'{marker} [[say="B."]]', "B."]
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(
            model="gpt-4o", input="c", conversation=conversation.id, previous_response_id=second.id
        )
    assert refused.value.code == "mutually_exclusive_parameters"


def test_tool_call_and_output_become_items(client, conversation, upstream, marker):
    tool = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": False}
    asked = client.responses.create(
        model="gpt-4o", input=f"{marker} {call('look')}", tools=[tool], conversation=conversation.id
    )
    output = {"type": "function_call_output", "call_id": asked.output[0].call_id, "output": "seen"}
    client.responses.create(model="gpt-4o", input=[output], tools=[tool], conversation=conversation.id)
    assert upstream.results() == {"look": "seen"}
    kinds = [item.type for item in client.conversations.items.list(conversation.id, order="asc")]
    assert kinds == ["message", "function_call", "function_call_output", "message"]


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"18 degrees in {city}"


async def test_agents_session_uses_the_conversation(async_client, upstream, marker):
    agent = Agent("Helper", model=OpenAIResponsesModel("gpt-4o", openai_client=async_client), tools=[get_weather])
    session = OpenAIConversationsSession(openai_client=async_client)
    first = await Runner.run(agent, call("get_weather", city="Paris"), session=session)
    assert first.final_output == "Tool results: 18 degrees in Paris"
    second = await Runner.run(agent, f'{marker} [[say="Bye."]]', session=session)
    assert second.final_output == "Bye."
    assert upstream.results() == {"get_weather": "18 degrees in Paris"}
    items = await session.get_items()
    assert [item["type"] for item in items] == [
        "message", "function_call", "function_call_output", "message", "message", "message"
    ]
    assert (await session.pop_item())["role"] == "assistant"
    assert len(await session.get_items()) == 5
    await session.clear_session()


async def test_agents_continue_a_named_conversation(async_client, upstream, marker):
    agent = Agent("Helper", model=OpenAIResponsesModel("gpt-4o", openai_client=async_client), tools=[get_weather])
    conversation = await async_client.conversations.create()
    await Runner.run(agent, call("get_weather", city="Rome"), conversation_id=conversation.id)
    await Runner.run(agent, f'{marker} [[say="Bye."]]', conversation_id=conversation.id)
    assert upstream.results() == {"get_weather": "18 degrees in Rome"}
