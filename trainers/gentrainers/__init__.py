"""The pods' side of the lifecycle: prepare, train, evaluate, optimize and serve, without any cluster.

Knows nothing of Kubernetes. It takes one TaskFile and answers with Progress and one Report (package gencontract).
"""
