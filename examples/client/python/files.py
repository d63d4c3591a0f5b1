"""Files, which messages name by their ids."""

from claude_switchboard import Switchboard

MAX_TOKENS = 100

with Switchboard() as client:
    file = client.files.upload(b"The Danube has 2850 km.\n", filename="rivers.txt")
    part = {"type": "file", "file": {"file_id": file.id}}
    question = {"type": "text", "text": "How long is the Danube?"}
    answer = client.complete([{"role": "user", "content": [part, question]}], model="haiku", max_tokens=MAX_TOKENS)
    print(answer.content, answer.cost)

    print(client.files.get(file.id).filename, client.files.content(file.id))
    print([stored.filename for stored in client.files.list(limit=5).data])
    print(client.files.delete(file.id).deleted)
