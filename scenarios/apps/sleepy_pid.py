"""SleepyPid: takes ten seconds to construct and answers with its process id: one sees who answered."""

import os
import time

from ray import serve


@serve.deployment
class SleepyPid:
    """A replica that is slow to come back."""

    def __init__(self) -> None:
        """Take the time that loading a model would take."""
        time.sleep(10)

    def __call__(self) -> int:
        """Answer with the process id of this replica."""
        return os.getpid()


app = SleepyPid.bind()
