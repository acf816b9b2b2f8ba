"""The version of this installation; the newest heading of CHANGELOG.md says the same (a test compares them)."""

VERSION = "0.9.0"
