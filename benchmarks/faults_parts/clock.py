"""A clock of the wall that can be moved for some processes, by a library that they load first."""

import mmap
import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *seconds;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULTS_CLOCK");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *found = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) seconds = found;
    close(file);
}

int clock_gettime(clockid_t which, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, which, at);
    if (!failed && seconds && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        at->tv_sec += *seconds;
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""
"""Only the time of day moves, as by `date -s`: monotonic clocks go on."""


class Clock:
    """Compiled in a folder; needs a C compiler.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._library, self._shift = folder / "clock.so", folder / "clock"
        source = folder / "clock.c"
        source.write_text(SOURCE)
        self.move(0)
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(source)]
        subprocess.run(command, check=True)

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of processes that are to go by it."""
        return {"LD_PRELOAD": str(self._library), "FAULTS_CLOCK": str(self._shift)}

    def move(self, seconds: int) -> None:
        """Show so many seconds more than it is."""
        if not self._shift.exists():
            self._shift.write_bytes(bytes(mmap.PAGESIZE))
        with self._shift.open("r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as shown:
            shown[:8] = struct.pack("l", seconds)
