"""An application that takes time to construct and answers its process id."""

from __future__ import annotations

from pathlib import Path

from runner.language.plan import Application

CODE = """
import os, time
from ray import serve

@serve.deployment(num_replicas=6, ray_actor_options={{"num_cpus": {cpus}}})
class Sleepy:
    def __init__(self):
        time.sleep({seconds})

    async def __call__(self, request):
        word = request.headers.get("X-Word")
        if word is not None:
            return f"{{request.method}} {{word}} {{(await request.body()).decode()}}"
        return str(os.getpid())

app = Sleepy.bind()
"""


def sleepy(folder: Path, *, seconds: float = 0.0, cpus: float = 1.0, name: str = "sleepy") -> Application:
    """Write the application into a folder that does not exist yet."""
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(CODE.format(seconds=seconds, cpus=cpus))
    return Application(name, {"name": name, "import_path": f"{name}:app", "route_prefix": "/"}, folder)
