"""A composed application: an ingress that asks another deployment for its answer, and says who both were."""

import os

from ray import serve
from ray.serve.handle import DeploymentHandle


@serve.deployment
class Model:
    """What the answer comes from."""

    def __call__(self) -> int:
        """Answer with the process id of this replica."""
        return os.getpid()


@serve.deployment
class Ingress:
    """What users speak to."""

    def __init__(self, model: DeploymentHandle) -> None:
        """Keep the way to the model."""
        self.model = model

    async def __call__(self) -> dict[str, int]:
        """Ask the model; answer with the process ids of both."""
        return {"ingress": os.getpid(), "model": await self.model.remote()}


app = Ingress.bind(Model.bind())
