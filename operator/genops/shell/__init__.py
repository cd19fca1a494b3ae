"""The only place with I/O: the engine, the work queue, the cluster's adapters and the process around them."""
