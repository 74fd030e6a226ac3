"""What campaigns with real users stand on: their log and what follows from it, in SQL."""

from importlib.util import find_spec

from proactrec.errors import MissingExtraError

if any(find_spec(name) is None for name in ("sqlalchemy", "alembic", "psycopg", "argon2")):
    raise MissingExtraError(
        "stores need sqlalchemy, alembic, psycopg and argon2-cffi: pip install 'proactrec[serve]'"
    )
