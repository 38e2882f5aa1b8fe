"""Pid: quick to construct, answers with its process id: one sees who answered, and is not kept waiting."""

import os

from ray import serve


@serve.deployment
class Pid:
    """A replica that is back as soon as its process is."""

    def __call__(self) -> int:
        """Answer with the process id of this replica."""
        return os.getpid()


app = Pid.bind()
