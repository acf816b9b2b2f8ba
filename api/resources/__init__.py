"""One file a resource, each with a `router` that `api.v1` takes in: load, one call of a selector or a verb, JSON."""
