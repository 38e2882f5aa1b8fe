"""A composed application: an ingress that asks another deployment for its answer, and says who both were."""

import ray
from ray import serve
from ray.serve.handle import DeploymentHandle


@serve.deployment
class Model:
    """What the answer comes from."""

    def __call__(self) -> str:
        """Answer with the id of this replica's actor."""
        return ray.get_runtime_context().get_actor_id()


@serve.deployment
class Ingress:
    """What users speak to."""

    def __init__(self, model: DeploymentHandle) -> None:
        """Keep the way to the model."""
        self.model = model

    async def __call__(self) -> dict[str, str]:
        """Ask the model; answer with the ids of both."""
        return {"ingress": ray.get_runtime_context().get_actor_id(), "model": await self.model.remote()}


app = Ingress.bind(Model.bind())
