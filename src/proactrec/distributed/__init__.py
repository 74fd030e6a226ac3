"""Work in shards: by this process, by local processes or by a Ray cluster, with the same files."""
