"""GenTrainingJob."""
