"""The schema that migrations make is the one that the tables say, and can be unmade."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from proactrec.errors import InvalidInputError
from proactrec.store.database import MIGRATIONS, Database, revisions
from proactrec.store.tables import METADATA
from proactrec.testing.databases import Kind, empty_postgresql

CATALOGUE = (
    """
    SELECT table_name, column_name, data_type, collation_name, is_nullable, is_identity,
    column_default FROM information_schema.columns WHERE table_schema = 'public'
    AND table_name <> 'alembic_version' ORDER BY 1, 2
    """,
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' "
    "AND tablename <> 'alembic_version' ORDER BY 1",
    "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype IN ('p', 'f') "
    "AND conrelid <> 'alembic_version'::regclass ORDER BY 1",
)


@pytest.fixture
def empty(kind: Kind, tmp_path: Path) -> Iterator[Database]:
    """Without tables."""
    if kind == "sqlite":
        yield Database(str(tmp_path / "empty.db"))
        return
    with empty_postgresql() as url:
        database = Database(url, partitions=2 if kind == "partitioned" else 0)
        yield database
        database.close()


def tables(database: Database) -> set[str]:
    return set(inspect(database.engine).get_table_names()) - {"alembic_version"}


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    def is_said(name: str | None, what: str, _: object) -> bool:
        return what != "table" or name in METADATA.tables  # not the parts of others

    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_said})
        assert compare_metadata(context, METADATA) == []
    assert set(METADATA.tables) <= tables(database)


@pytest.mark.parametrize("kind", ["postgresql"], indirect=True)
def test_postgresql_has_the_same_catalogue_either_way(database: Database) -> None:
    with empty_postgresql() as url:
        other = Database(url)
        METADATA.create_all(other.engine)
        with other.writing() as connection:
            connection.exec_driver_sql("CREATE TABLE alembic_version (n int)")
        for sql in CATALOGUE:
            with database.reading() as one, other.reading() as two:
                expected = two.exec_driver_sql(sql).all()
                assert one.exec_driver_sql(sql).all() == expected != []
        other.close()


def test_revisions_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    found = ScriptDirectory.from_config(config).walk_revisions()  # from the newest
    assert tuple(one.revision for one in found)[::-1] == revisions()


def test_migrations_go_down_and_up_again(empty: Database) -> None:
    empty.migrate()
    first = tables(empty)
    empty.migrate("base")
    assert tables(empty) == set()
    empty.migrate()
    empty.migrate()  # of what is there already, nothing comes
    assert tables(empty) == first >= set(METADATA.tables)


def test_processes_that_migrate_at_once_wait_for_each_other(empty: Database) -> None:
    code = (
        "import sys; from proactrec.store.database import Database\n"
        "Database(sys.argv[1], partitions=int(sys.argv[2])).migrate()"
    )
    url = empty.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", code, url, str(empty.partitions)]
    started = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(4)]
    ended = [(one.communicate()[1], one.returncode) for one in started]
    assert [code for _, code in ended] == [0] * 4, ended
    assert set(METADATA.tables) <= tables(empty)


def test_users_lie_in_parts_where_it_is_said(database: Database, kind: Kind) -> None:
    parts = {name for name in tables(database) if name[-1].isdigit()}
    names = ("users", "consents", "memberships", "assignments", "journeys", "decisions", "events")
    expected = {f"{name}_{part}" for name in names for part in range(2)}
    assert parts == (expected if kind == "partitioned" else set())


@pytest.mark.parametrize("url", ["mysql://me:secret@there/shop", "postgresql:/x://"])
def test_another_database_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidInputError, match="a database is sqlite") as told:
        Database(url)
    assert "secret" not in str(told.value)
