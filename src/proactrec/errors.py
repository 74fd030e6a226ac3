"""Every error that a caller can cause: one root, one sentence each, exit code 2."""


class ProactrecError(Exception):
    """Root of all errors that proactrec raises on purpose."""


class InvalidInputError(ProactrecError, ValueError):
    """An argument breaks its rule; the message names the argument, the rule and what came."""


class DataError(ProactrecError, ValueError):
    """Interactions, items or a file cannot be used; the message counts what is wrong."""


class UnknownIdError(ProactrecError, KeyError):
    """A user, item, category or name that does not exist."""

    def __str__(self) -> str:
        # KeyError would print the repr, quotes and all.
        return str(self.args[0]) if self.args else ""


class NotFittedError(ProactrecError, RuntimeError):
    """Something is used before it was fitted or reset."""


class TrainingError(ProactrecError, RuntimeError):
    """Training cannot go on, for instance because the loss is not finite."""


class ArtefactError(ProactrecError, RuntimeError):
    """A stored artefact is damaged, or belongs to something else."""


class MissingExtraError(ProactrecError, ImportError):
    """An optional dependency is not installed; the message holds the install line."""


class DataWarning(UserWarning):
    """Data was usable, but not as it came; the message counts what was changed."""


class DownloadError(ProactrecError, RuntimeError):
    """A file could not be fetched, or is not what its publisher gave away."""


class StoreError(ProactrecError, RuntimeError):
    """The database of a store can't be reached, or refuses to write."""


class CampaignStateError(ProactrecError, RuntimeError):
    """A campaign can't do this in the state that it is in."""


class OverloadedError(ProactrecError, RuntimeError):
    """Too much waits already; the same may be asked again later."""


class BusyError(OverloadedError):
    """Others are faster with the same users, over and over; the same may be asked again later."""


class RateError(OverloadedError):
    """Asked more often than is allowed; the same may be asked again after some seconds."""

    def __init__(self, message: str, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class IssuerError(ProactrecError, RuntimeError):
    """Who issues people's tokens can't be reached, or says what can't be used."""


class LostWorkersError(ProactrecError, RuntimeError):
    """Who did the work died over and over; the same may be asked again, it goes on."""


class AccessError(ProactrecError, PermissionError):
    """A key is missing, wrong, or may not do this."""


class UnknownKeyError(AccessError):
    """No key was given, or one that nobody has."""
