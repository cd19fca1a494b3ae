"""Networks that families share. They see tensors of known shapes; they know nothing of losses or data."""
