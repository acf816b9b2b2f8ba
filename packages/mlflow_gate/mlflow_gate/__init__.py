"""Refuses, in the MLflow server, what Countersign has not approved.

`store` guards each changing method of MLflow's registry store; `grants` are how Countersign proves that a change is
approved; `policy` says which places are guarded. Neither this module nor `grants`, `policy` and `notes` import MLflow.
"""

__version__ = "0.1.0"
