"""Sessions: conversations that the server keeps, so that a client sends only the new message."""

from claude_switchboard import Switchboard

MAX_TOKENS = 100

with Switchboard() as client:
    session = client.sessions.create(model="haiku", instructions="Answer in one sentence.")
    client.sessions.send(session.id, "I live on the Danube.", max_tokens=MAX_TOKENS)
    with client.sessions.stream(session.id, "Where do I live?", max_tokens=MAX_TOKENS) as stream:
        for piece in stream:
            print(piece, end="", flush=True)
    print()

    for message in client.sessions.messages(session.id, order="asc").data:
        print(message.role, message.content)
    print(client.sessions.get(session.id).message_count, len(client.sessions.list(limit=5).data))
    print(client.sessions.delete(session.id).deleted)
