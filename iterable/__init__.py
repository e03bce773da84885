"""Client of the Iterable HTTP API: one file per resource, one error tree. Knows no Temporal and no store."""
