-- Undoes install.sql, the role included. MLflow's rows stay as they are.
--
--   psql --set ON_ERROR_STOP=1 --single-transaction --file remove.sql postgresql://dba@host/mlflow
DROP TRIGGER IF EXISTS countersign_guard ON public.model_versions;
DROP TRIGGER IF EXISTS countersign_guard ON public.registered_model_aliases;
DROP TRIGGER IF EXISTS countersign_no_truncate ON public.model_versions;
DROP TRIGGER IF EXISTS countersign_no_truncate ON public.registered_model_aliases;
DROP SCHEMA IF EXISTS countersign CASCADE;
DROP ROLE IF EXISTS countersign_gate;
