"""Countersign killed, lied to, raced and restored: `make test-faults`."""
