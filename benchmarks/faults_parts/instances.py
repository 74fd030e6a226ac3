"""Several instances on one PostgreSQL: limits under load, and a rolling restart."""

import signal
import time
from functools import partial
from typing import Any

from faults_parts.outages import GOOD
from faults_parts.runs import (
    Setting,
    Stage,
    ended,
    kill_instance,
    kill_postgres,
    kill_worker,
    postgres,
    stage,
    struck,
)
from faults_parts.site import end, is_there, until


def instances(setting: Setting, n: int) -> dict[str, Any]:
    """So many share the load; one is killed now and then, all are restarted in turn."""
    with postgres(setting) as server, stage(setting, server.url, instances=n) as on:
        until(lambda: all_there(on), "all ready")
        rows = [struck(on, "none", lambda: None) for _ in range(setting.times)]
        for _ in range(max(1, setting.times // 4)):
            rows.append(struck(on, "instance", lambda: kill_instance(on)))
            until(lambda: all_there(on), "all instances there again")
        restarts = [restarted(on) for _ in range(max(1, setting.times // 4))]
        return {"faults": rows, "restarts": restarts, **ended(on)}


def in_small(setting: Setting) -> dict[str, Any]:
    """Two instances: one is killed, then the worker, then PostgreSQL; both are restarted in turn.

    What the parts of PostgreSQL do, each once, with one service: for tests.
    """
    with postgres(setting) as server, stage(setting, server.url, instances=2) as on:
        until(lambda: all_there(on), "all ready")
        rows = [struck(on, "instance", lambda: kill_instance(on))]
        until(lambda: all_there(on), "all instances there again")
        rows.append(struck(on, "worker", lambda: kill_worker(on)))
        rows.append(struck(on, "postgresql", lambda: kill_postgres(server)))
        until(lambda: all_there(on), "all instances there again")
        return {"faults": rows, "restarts": [restarted(on)], **ended(on)}


def restarted(on: Stage) -> dict[str, Any]:
    """All instances ended by SIGTERM and started again, one after the other, during a campaign."""
    with on.campaign():
        on.load.seen.since()
        for pid in on.service.pids("instance"):
            end(pid, signal.SIGTERM)
            until(partial(_is_gone, pid), "an instance has ended")
            until(lambda: all_there(on), "it is started again")
        time.sleep(1)
        told = on.load.seen.since()
    failed = {kind: n for kind, n in told["answers"].items() if kind not in GOOD}
    print(told, flush=True)
    return {"fault": "rolling restart", "failed": failed, **told}


def all_there(on: Stage) -> bool:
    """Whether all instances run and answer."""
    pids = on.service.pids("instance")
    return len(pids) == on.service.instances and all(map(on.service.has_started, pids))


def _is_gone(pid: int) -> bool:
    return not is_there(pid)
