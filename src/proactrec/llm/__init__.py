"""Language models: the client that asks them, the cache of their answers, prompts and parsing."""
