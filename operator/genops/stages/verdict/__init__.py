"""GenVerdict."""
