"""The overview: what holds each target of each model, how it got there, and what moves. Read from the tenures and the
requests; a fixed number of queries for any number of models."""
