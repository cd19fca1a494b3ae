"""What there is to tell of objects. Pure: manifests in, values out; no client, no terminal, no clock."""
