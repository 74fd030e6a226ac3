"""The cache: what is put stays, whoever else uses the file and whatever kills the process."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from proactrec.errors import ArtefactError
from proactrec.llm.cache import Answer, AnswerCache, CacheStatistics

ENTRY = Answer("1", {"1": -0.25, "0": -1.5}, 100, 1, 0.5)


def key(i: int) -> bytes:
    return hashlib.sha256(str(i).encode()).digest()


def test_answers_come_back_as_they_went_in(cache: AnswerCache) -> None:
    odd = Answer('ünï"code\n\x00 \U0001f600', None, 3, 2, 0.0)
    assert cache.put(key(0), ENTRY) == ENTRY
    assert cache.put(key(1), odd) == odd
    assert cache.get_many([key(2), key(1), key(0)]) == {key(0): ENTRY, key(1): odd}
    assert cache.get_many([]) == {}


def test_first_answer_stays_and_every_payment_is_counted(cache: AnswerCache) -> None:
    cache.put(key(0), ENTRY)
    assert cache.put(key(0), Answer("0", None, 100, 1, 0.25)) == ENTRY._replace(cost=0.75)
    assert cache.statistics() == CacheStatistics(1, 2, 200, 2, 0.75)


def test_an_empty_cache_has_statistics(cache: AnswerCache) -> None:
    assert cache.statistics() == CacheStatistics(0, 0, 0, 0, 0.0)


def test_more_keys_than_one_query_takes(cache: AnswerCache) -> None:
    for i in range(1234):
        cache.put(key(i), ENTRY._replace(text=str(i)))
    found = cache.get_many([key(i) for i in range(2000)])
    assert {k: entry.text for k, entry in found.items()} == {key(i): str(i) for i in range(1234)}


def test_threads_share_one_cache(cache: AnswerCache) -> None:
    def work(first: int) -> None:
        for i in range(first, first + 100):
            cache.put(key(i), ENTRY)
            assert key(i) in cache.get_many([key(i), key(i + 1)])

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cache.statistics()[:2] == (250, 400)


PUT_MANY = """
import hashlib, sys
from contextlib import closing
from pathlib import Path
from proactrec.llm.cache import AnswerCache, Answer
with closing(AnswerCache(Path(sys.argv[1]))) as cache:
    for i in range(int(sys.argv[2]), int(sys.argv[3])):
        cache.put(hashlib.sha256(str(i).encode()).digest(), Answer("1", None, 1, 1, 1.0))
        print(i, flush=True)
"""


def put_many(path: Path, start: int, stop: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PUT_MANY, str(path), str(start), str(stop)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_that_open_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "answers.sqlite"
    processes = [put_many(path, start, start + 200) for start in (0, 100, 200, 300)]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    with closing(AnswerCache(path)) as cache:
        assert cache.statistics() == CacheStatistics(500, 800, 800, 800, 800.0)


def test_what_was_put_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "answers.sqlite"
    process = put_many(path, 0, 1_000_000)
    assert process.stdout is not None
    while process.stdout.readline() != "300\n":
        pass
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate()
    last = int(rest.split("\n")[-2]) if "\n" in rest else 300  # said to be stored
    with closing(AnswerCache(path)) as cache:
        assert len(cache.get_many([key(i) for i in range(last + 1)])) == last + 1


def test_another_file_is_refused_and_kept(tmp_path: Path) -> None:
    notes, database = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    notes.write_text("not a database, but long enough to look at " * 30)
    with closing(sqlite3.connect(database)) as other:
        other.execute("CREATE TABLE users (name)")
    for path in (notes, database):
        before = path.read_bytes()
        with pytest.raises(ArtefactError, match="is no cache of answers"):
            AnswerCache(path)
        assert path.read_bytes() == before


def test_another_format_is_refused(tmp_path: Path) -> None:
    with closing(AnswerCache(tmp_path / "c.sqlite")) as cache:
        cache._connection.execute("PRAGMA user_version=7")
    with pytest.raises(ArtefactError, match="of format 7, this program reads 1"):
        AnswerCache(tmp_path / "c.sqlite")
