"""The one exception whose text is shown to a person."""


class UserError(ValueError):
    """One sentence for the person that says what to do."""


class Cancelled(Exception):
    """Long work ended because the person asked for it."""
