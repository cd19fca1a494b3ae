"""Serving by Triton: write its model repository, start it, ask it, and say when it may be trusted with requests."""
