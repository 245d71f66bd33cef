"""Errors a user can cause: each has a code and a text that says what to do; the command line prints both."""


class UserError(Exception):
    """Something the user can mend; `code` is stable, the text says what to do. Nothing was changed."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class BusyError(UserError):
    """Another run is writing: the same thing said again a little later succeeds."""
