"""Stands in for Flask-WTF when MLflow's basic-auth is started for tests: MLflow asks it for one thing, the token of its
sign-up form, which no test opens."""
