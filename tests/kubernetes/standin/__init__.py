"""A stand-in for the KubeRay operator, for tests: RayService to RayCluster to pods and services.

It keeps KubeRay 1.7's names, labels, environment, probes, conditions, and its quirks. What it leaves out it
refuses or says: autoscaling, incremental upgrades, suspension, several hosts a replica, TLS, and the deletion of
what Redis holds. It calls itself `stand-in` in the annotation `ray.io/kuberay-version`, where KubeRay writes its
version. No figure that is published comes from it.
"""
