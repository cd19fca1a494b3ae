"""Sets for first steps, tests and gates: real ones that ordinary packages carry, and oracles that are made here.

An oracle's distribution is known exactly, so that a model's error can be told from the data's own entropy. One set per
file with `fetch(task, scratch, pod) -> Fetched`, and one entry in `sources/builtin.py`.
"""
