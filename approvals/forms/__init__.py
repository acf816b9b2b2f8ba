"""The forms: what people type, checked for shape; whether it is allowed is for `policy` and the verbs."""
