-- Run by the PostgreSQL image when its volume is new: MLflow's own database beside Countersign's, and its own owner.
\getenv mlflow_password MLFLOW_DATABASE_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE mlflow OWNER mlflow;
