"""The commands for people beside kubectl: why, tree, lineage, logs, approve, samples. They read; `approve` annotates.

What is told is decided in `genops.cli.story`, out of objects alone. `reach` asks the cluster, `showing` prints.
"""
