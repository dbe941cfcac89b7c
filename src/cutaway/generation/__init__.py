"""Writing on: a cache of keys and values, choosing a token, and the loop that appends it and runs again."""
