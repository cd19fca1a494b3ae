"""One runtime per file: `load(folder, spec, threads)` gives a function from a list of arrays to a list of arrays."""
