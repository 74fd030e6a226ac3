"""The web console: campaigns made, watched, understood and stopped, through the client alone."""

from importlib.util import find_spec

from proactrec.errors import MissingExtraError

if find_spec("nicegui") is None:
    raise MissingExtraError("a console needs nicegui: pip install 'proactrec[console]'")
