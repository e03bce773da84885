"""The HTTP API of Iterable, one file for each resource."""
