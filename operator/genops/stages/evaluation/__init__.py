"""GenEvaluation."""
