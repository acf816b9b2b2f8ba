"""Pages of the gate: load, form, one domain call, redirect or render."""
