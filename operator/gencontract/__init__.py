"""What the operator and its pods agree on: tasks, reports, exit codes, paths.

This package imports pydantic and the standard library, and nothing of ours: both sides may import it.
"""
