"""What lives long is set apart from garbage, and is freed all the same."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator

import pytest

from proactrec.serving.tidying import Tidier, tidy


class Knot:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    gc.freeze()  # as tests/conftest.py has what is loaded: no other test looks for waste in it


def test_what_stays_is_not_looked_at_again_until_everything_is() -> None:
    knot = Knot()
    seen = weakref.ref(knot)
    tidy(everything=True)
    assert gc.get_freeze_count() > 0
    del knot
    tidy(everything=False)
    assert seen() is not None  # it was set apart
    tidy(everything=True)
    assert seen() is None


def test_garbage_that_is_young_is_found_and_what_is_not_used_any_more_is_freed() -> None:
    young, old = Knot(), Knot()
    seen = weakref.ref(young)
    old.itself = None  # type: ignore[assignment]
    last = weakref.ref(old)
    del young
    tidy(everything=False)
    assert seen() is None
    del old
    assert last() is None


def test_a_thread_looks_at_everything_once_something_large_was_let_go_of() -> None:
    is_left = threading.Event()
    tidier = Tidier(is_left, every=0.02)
    tidier.start()
    while gc.get_freeze_count() == 0:
        time.sleep(0.01)
    knot = Knot()
    seen = weakref.ref(knot)
    time.sleep(0.3)  # set apart
    del knot
    is_left.set()
    end = time.monotonic() + 10
    while seen() is not None:
        assert time.monotonic() < end
        time.sleep(0.01)
    tidier.stop()
    tidier.join(5)
    assert not tidier.is_alive()
    assert not is_left.is_set()
