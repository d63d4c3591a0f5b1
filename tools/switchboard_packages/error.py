"""Error of a builder."""


class PackageError(Exception):
    """What went wrong, and what to do."""

    def __init__(self, problem: str, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint
