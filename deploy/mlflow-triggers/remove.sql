-- Undoes install.sql, the role included. MLflow's rows stay as they are.
--
--   psql --set ON_ERROR_STOP=1 --single-transaction --file remove.sql postgresql://dba@host/mlflow
DROP TRIGGER IF EXISTS countersign_guard ON public.model_versions;
DROP TRIGGER IF EXISTS countersign_guard ON public.registered_model_aliases;
DROP TRIGGER IF EXISTS countersign_no_truncate ON public.model_versions;
DROP TRIGGER IF EXISTS countersign_no_truncate ON public.registered_model_aliases;
DROP SCHEMA IF EXISTS countersign CASCADE;
SELECT format('REVOKE CONNECT ON DATABASE %I FROM countersign_gate', datname)
FROM pg_database, aclexplode(datacl)
WHERE datname = current_database() AND grantee = to_regrole('countersign_gate') \gexec
DROP ROLE IF EXISTS countersign_gate;
