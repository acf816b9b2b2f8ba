"""The transition requests, comments and webhooks of Databricks' Workspace Model Registry, on the verbs of the gate, so
that `databricks-sdk` and the `databricks` command work with Countersign unmodified. docs/databricks.md is for who uses
it; the rules, refusals and sentences are those of the pages.
"""
