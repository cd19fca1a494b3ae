"""genops: a Kubernetes operator that takes a generative model from idea to deployment and keeps it good."""
