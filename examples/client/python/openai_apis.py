"""Responses, conversations and completions: by the official package, with the settings of this client.

Needs `pip install "./client/python[openai]"`.
"""

from claude_switchboard import Switchboard

MAX_TOKENS = 100

with Switchboard() as client:
    openai = client.openai()

    first = openai.responses.create(model="haiku", input="Name a river.", max_output_tokens=MAX_TOKENS)
    print(first.output_text, openai.responses.retrieve(first.id).status)
    print(openai.responses.input_items.list(first.id).data[0].type)
    with openai.responses.stream(
        model="haiku", previous_response_id=first.id, input="And another one.", max_output_tokens=MAX_TOKENS
    ) as events:
        for event in events:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
    print()
    print(openai.responses.input_tokens.count(model="haiku", input="Name a river.").input_tokens)
    print([item.type for item in openai.responses.compact(model="haiku", input="Name a river.").output])
    openai.responses.delete(first.id)

    background = openai.responses.create(
        model="haiku", input="Describe all rivers of Europe.", background=True, max_output_tokens=MAX_TOKENS
    )
    print(openai.responses.cancel(background.id).status)

    conversation = openai.conversations.create(items=[{"role": "user", "content": "I live on the Danube."}])
    answer = openai.responses.create(
        model="haiku", conversation=conversation.id, input="Where do I live?", max_output_tokens=MAX_TOKENS
    )
    print(answer.output_text)
    items = openai.conversations.items.create(conversation.id, items=[{"role": "user", "content": "It is wide here."}])
    added = items.data[0].id
    assert added is not None
    print(openai.conversations.items.retrieve(added, conversation_id=conversation.id).type)
    openai.conversations.items.delete(added, conversation_id=conversation.id)
    print(len(openai.conversations.items.list(conversation.id).data))
    openai.conversations.update(conversation.id, metadata={"topic": "rivers"})
    print(openai.conversations.retrieve(conversation.id).metadata)
    openai.conversations.delete(conversation.id)

    completion = openai.completions.create(model="haiku", prompt="The longest river is", max_tokens=MAX_TOKENS)
    print(completion.choices[0].text)
