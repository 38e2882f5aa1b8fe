"""The only door to clocks.

Durations and every instant of a run are CLOCK_MONOTONIC; the wall clock is only shown. Seconds are
floats, stamps of the measuring are integer nanoseconds. Where the system has no boot id or time
namespace (macOS), the empty string stands for it and equals only itself on the same machine.
"""

from __future__ import annotations

import os
import time


def monotonic() -> float:
    """Seconds of CLOCK_MONOTONIC."""
    return time.monotonic()


def monotonic_ns() -> int:
    """Nanoseconds of CLOCK_MONOTONIC."""
    return time.monotonic_ns()


def wall() -> float:
    """Seconds since the epoch, to show to people and to name runs; never to compute a duration."""
    return time.time()


def cpu() -> float:
    """Seconds of processors that this process has taken, all its threads together."""
    return time.process_time()


def boot_id() -> str:
    """Give the kernel's id of this boot, or an empty string where there is none."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def time_namespace() -> str:
    """Give the time namespace of this process, such as `time:[4026531834]`, or an empty string."""
    try:
        return os.readlink("/proc/self/ns/time")
    except OSError:
        return ""
