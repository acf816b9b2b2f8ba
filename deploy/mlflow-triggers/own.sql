-- Gives MLflow's tables to a role that MLflow's server does not use, so that the server's role cannot switch the triggers
-- off. Safe to repeat. Run `mlflow db upgrade` with the address of the owner from then on.
--
--   psql --set ON_ERROR_STOP=1 --single-transaction --set server=mlflow --set owner_password=… --file own.sql …
SELECT format('CREATE ROLE mlflow_owner LOGIN PASSWORD %L', :'owner_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mlflow_owner') \gexec
REASSIGN OWNED BY :"server" TO mlflow_owner;
-- The database was among it, or belongs to another: where not everybody may connect, both have to be let in.
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name)
FROM unnest(ARRAY['mlflow_owner', :'server']) AS role (name)
WHERE NOT has_database_privilege(name, current_database(), 'CONNECT') \gexec
GRANT USAGE, CREATE ON SCHEMA public TO mlflow_owner;
GRANT USAGE ON SCHEMA public TO :"server";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO :"server";
GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO :"server";
ALTER DEFAULT PRIVILEGES FOR ROLE mlflow_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"server";
ALTER DEFAULT PRIVILEGES FOR ROLE mlflow_owner IN SCHEMA public GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO :"server";
