"""The machines' door: the REST API at `/api/v1/`. It calls the verbs and the selectors that the pages call, and has no
rule of its own.

`v1` puts it together, one file a resource in `resources`. Around each operation stand `frame` (sizes, methods, tags
of answers), `auth` (whose token, with which scopes), `limits` and `idempotency`; `problems` says what went wrong,
`cursors` pages through lists, `schemas` are the words of the JSON, `openapi` describes it all.
"""
