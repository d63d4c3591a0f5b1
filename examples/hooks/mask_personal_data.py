#!/usr/bin/env python3
"""Hook of claude-switchboard that masks personal data in prompts and answers.

E-mail addresses, IBANs, numbers of payment cards and telephone numbers are replaced by `[email]`, `[iban]`, `[card]` and
`[phone]`, in texts and in the inputs and results of tools. IBANs and card numbers are replaced only if their check digits
are right.

A hook of the kind `program`: each line on standard input is a request, each line on standard output its answer. Python's
standard library is enough. examples/hooks/README.md has the configuration, docs/HOOKS.md the format.
"""

import json
import re
import sys

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?!\w)")
CARD = re.compile(r"(?<![\w.+-])\d(?:[ -]?\d){12,18}(?![\w-])")
PHONE = re.compile(
    r"(?<![\w.+(-])(?:"
    r"(?:\+|00)[1-9](?:[ ./()-]{0,2}\d){6,13}"  # +49 (0)30 901820, 0044 20 7946 0000
    r"|\(?0\d{1,4}\)?[ /-](?:[ -]?\d){5,9}"  # 030 901820, (0171) 1234567
    r"|(?:1[ .-])?\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}"  # (212) 555-0100
    r")(?![\w-])"
)


def has_right_check_digits(card: str) -> bool:
    """Checks the number of a card by Luhn's rule: every second digit from the right is doubled."""
    digits = [int(digit) for digit in card if digit.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_iban(text: str) -> bool:
    """Checks an IBAN by ISO 7064: its digits, with letters as 10 to 35, are 1 modulo 97."""
    compact = text.replace(" ", "")
    rearranged = compact[4:] + compact[:4]
    return int("".join(str(int(letter, 36)) for letter in rearranged)) % 97 == 1


def mask_text(text: str) -> str:
    """Returns the text with placeholders instead of personal data. Masked text stays as it is."""
    text = EMAIL.sub("[email]", text)
    text = IBAN.sub(lambda found: "[iban]" if is_iban(found[0]) else found[0], text)
    text = CARD.sub(lambda found: "[card]" if has_right_check_digits(found[0]) else found[0], text)
    return PHONE.sub("[phone]", text)


def mask_values(value):
    """Masks every string in a JSON value; names of members stay, because tools depend on them."""
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, list):
        return [mask_values(item) for item in value]
    if isinstance(value, dict):
        return {name: mask_values(item) for name, item in value.items()}
    return value


def mask_block(block: dict) -> dict:
    """Masks a block of a message: its text, or the input of a call. Its type and the tool's name stay."""
    return {name: mask_values(value) if name in ("text", "input") else value for name, value in block.items()}


def mask_messages(messages: list) -> list:
    return [{**message, "content": [mask_block(block) for block in message["content"]]} for message in messages]


def mask_answer(answer: dict) -> dict:
    return {**answer, "text": mask_text(answer["text"]), "tool_calls": [mask_block(call) for call in answer["tool_calls"]]}


def decide(request: dict) -> dict:
    """Returns the action for a request: `replace` where something was masked, otherwise `pass`."""
    for field, mask in (("answer", mask_answer), ("messages", mask_messages)):
        # A field without a grant is absent. At the point `after` the answer is what can be replaced.
        if field in request:
            masked = mask(request[field])
            return {"action": "pass"} if masked == request[field] else {"action": "replace", field: masked}
    return {"action": "pass"}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        answer = {"id": request["id"], **decide(request)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
