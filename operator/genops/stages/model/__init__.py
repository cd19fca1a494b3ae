"""GenModel."""
