"""Errors that are shown to a person, and the end of work that was cancelled."""


class UserError(ValueError):
    """One sentence for the person that says what to do."""


class Cancelled(Exception):
    """Long work ended because the person asked for it."""
