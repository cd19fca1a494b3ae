"""Text out of types: CRDs, reference pages and what else must never drift from the code."""
