"""What pages and verbs read together: who may review, what holds a target, how a request is doing."""
