"""`genops demo`: one command from an idea to a served, measured model, on this machine or on any cluster."""
