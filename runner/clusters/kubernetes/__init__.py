"""The Kubernetes cluster: a RayService under KubeRay."""
