"""Work of several steps as a generator, which either client carries out.

An error of a step is raised in the generator, where the step was yielded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from .call import Call

T = TypeVar("T")


@dataclass(frozen=True)
class Wait:
    """Step that waits for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Notify:
    """Step that calls a function of the caller; an asynchronous client awaits what it returns."""

    function: Callable[[Any], object]
    argument: object


Step = Call[Any] | Wait | Notify
Plan = Generator[Step, Any, T]
