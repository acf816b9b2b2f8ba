"""What Prometheus scrapes: `/metrics` of the web process, and the worker's own port.

`database` says how the installation is, the same from every replica; `processes` counts and times what one process
does; `endpoint` answers who has the token; `worker_port` does so beside the tasks. Names hold no model, person or
target: whoever reads them reads no evidence.
"""
