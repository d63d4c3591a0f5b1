"""Tests of the comparison and of the readers: python3 -m unittest switchboard_interfaces.comparison_tests, in tools/."""

import unittest
from typing import Any

from .areas import read_all
from .comparison import compare
from .schemas import Entry, flatten


def problems(old: Entry, new: Entry | None) -> list[str]:
    """Returns what is broken for a user of one thing."""
    areas = compare({"area": {"thing": old}}, {"area": {} if new is None else {"thing": new}})
    return [problem for _, _, problem in areas]


class ComparisonTests(unittest.TestCase):
    """One promise after another."""

    def test_thing_that_is_gone_breaks(self) -> None:
        """An operation, a setting or a name."""
        self.assertEqual(problems({}, None), ["is gone"])

    def test_type_and_values_may_not_change(self) -> None:
        """Settings have types; metrics labels, methods parameters, errors statuses."""
        self.assertEqual(problems({"type": "int"}, {"type": "str"}), ["was int and is str"])
        self.assertEqual(problems({"values": ["model"]}, {"values": ["kind"]}), ["has lost model"])
        self.assertEqual(problems({"values": ["model"]}, {"values": ["kind", "model"]}), [])

    def test_request_may_be_wider_and_not_narrower(self) -> None:
        """Clients go on to send what they send."""
        old = {"use": "request", "kinds": ["=low", "integer"]}
        self.assertEqual(problems(old, old | {"kinds": ["=high", "=low", "integer"]}), [])
        self.assertEqual(problems(old, old | {"kinds": ["integer", "string"]}), [])
        self.assertEqual(problems(old, old | {"kinds": ["integer"]}), ["takes no =low any more"])
        self.assertEqual(problems(old, old | {"required": True}), ["is required now"])

    def test_response_may_be_narrower_and_not_wider(self) -> None:
        """Clients go on to read what they read; constants are open sets."""
        old = {"use": "response", "kinds": ["=stop", "string"], "required": True}
        self.assertEqual(problems(old, old | {"kinds": ["=length", "=stop", "string"]}), [])
        self.assertEqual(problems(old, old | {"kinds": ["null", "string"]}), ["may be null now"])
        self.assertEqual(problems(old, {"use": "response", "kinds": ["string"]}), ["may be left out now"])

    def test_new_field_of_known_request_may_not_be_required(self) -> None:
        """That of a new request may."""
        known: dict[str, Entry] = {"Create": {"use": "request", "kinds": ["object"]}}
        field = {"use": "request", "kinds": ["string"], "required": True}
        self.assertEqual(compare({"api": known}, {"api": known | {"Create.name": field}}), [("api", "Create.name", "is new and required")])
        self.assertEqual(compare({"api": {}}, {"api": known | {"Create.name": field}}), [])


class ReaderTests(unittest.TestCase):
    """The readers find what they are for."""

    def test_schema_is_flattened_through_alternatives_and_lists(self) -> None:
        """A field is required if all alternatives require it."""
        inner: dict[str, Any] = {"type": "object", "properties": {"b": {"const": "x"}}, "required": ["b"]}
        schema = {"anyOf": [inner, {"type": "array", "items": inner}, {"$ref": "#/components/schemas/Other"}, {"type": "null"}]}
        found = dict[str, Entry]()
        flatten("A", schema, found)
        self.assertEqual(found["A"]["kinds"], ["#Other", "array", "null", "object"])
        self.assertEqual(found["A.b"], {"kinds": ["=x"], "required": True})
        self.assertEqual(found["A[].b"], {"kinds": ["=x"], "required": True})

    def test_each_area_has_its_best_known_name(self) -> None:
        """An area that its reader no longer finds would compare nothing."""
        areas = read_all(None)
        for area, name in {
            "api": "CreateChatCompletionRequest.messages",
            "errors": "rate_limit_exceeded",
            "settings": "server.listen",
            "metrics": "switchboard_turns_total",
            "webhooks": "budget.threshold_reached",
            "hooks": "Input.point",
            "client": "claude_switchboard.Switchboard.complete",
        }.items():
            self.assertIn(name, areas[area], area)
        self.assertIn("POST /v1/chat/completions", areas["api"])
        self.assertIn("model", areas["metrics"]["switchboard_turns_total"]["values"])
        self.assertGreater(len(areas["records"]), 20)


if __name__ == "__main__":
    unittest.main()
