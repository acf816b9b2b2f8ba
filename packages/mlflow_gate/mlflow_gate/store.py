"""The guard over MLflow's model registry store, for the scheme `countersign:`."""
