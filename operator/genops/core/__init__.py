"""The pure vocabulary of the operator: no clock, no client, no kopf."""
