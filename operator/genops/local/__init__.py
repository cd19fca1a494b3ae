"""`genops local`: a real Kubernetes control plane and one node as ordinary processes, for development and tests.

A real cluster needs none of it, and nothing outside this folder and e2e/ may import it.
"""
