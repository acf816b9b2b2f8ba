-- The roles of PostgreSQL: one that owns Countersign's tables, one for the processes that run, one for backups, and MLflow's,
-- with MLflow's database. Safe to repeat; it sets the passwords anew and drops what a role has set for itself.
--
-- Run it with psql 15 or newer, in Countersign's database, as a superuser:
--
--   psql --set passwords=/run/secrets --file roles.sql postgresql://postgres@host/countersign
--
-- `passwords` is a folder, /run/secrets if not said otherwise, so that the PostgreSQL image runs this file as it is from
-- /docker-entrypoint-initdb.d. In it are the files database_owner_password and database_app_password, and if they are wanted,
-- database_backup_password and database_mlflow_password: without the file, no such role (and no database `mlflow`) is made.
-- Or each password is a variable: --set owner_password=… (app_password, backup_password, mlflow_password).
--
-- countersign_owner   owns database, schema and tables: `manage.py migrate`, and nothing else
-- countersign_app     reads and writes rows: web, worker, beat and every other command
-- countersign_backup  reads everything: pg_dump
-- mlflow              owns the database mlflow
--
-- Then run `manage.py migrate` as countersign_owner. Tables that exist are moved to the owner by move-to-roles.sql.
\set ON_ERROR_STOP on
\if :{?passwords}
\else
  \set passwords /run/secrets
\endif
\if :{?owner_password}
\else
  \set owner_password `cat :'passwords'/database_owner_password`
\endif
\if :{?app_password}
\else
  \set app_password `cat :'passwords'/database_app_password`
\endif
\if :{?backup_password}
\else
  \set backup_password `cat :'passwords'/database_backup_password 2>/dev/null`
\endif
\if :{?mlflow_password}
\else
  \set mlflow_password `cat :'passwords'/database_mlflow_password 2>/dev/null`
\endif

-- No password in the server's log.
SET log_statement = 'none';
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';

SELECT :'owner_password' = '' OR :'app_password' = '' AS is_incomplete,
    :'backup_password' <> '' AS with_backup, :'mlflow_password' <> '' AS with_mlflow \gset
\if :is_incomplete
  DO $$ BEGIN RAISE EXCEPTION 'The passwords of countersign_owner and countersign_app are missing; nothing was changed.'; END $$;
\endif

SELECT format('CREATE ROLE %I', name)
FROM (VALUES ('countersign_owner', true), ('countersign_app', true),
    ('countersign_backup', :'with_backup'), ('mlflow', :'with_mlflow')) AS role (name, is_wanted)
WHERE is_wanted AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE countersign_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'owner_password';
ALTER ROLE countersign_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'app_password';
ALTER ROLE countersign_app RESET ALL;
ALTER ROLE countersign_app IN DATABASE :"DBNAME" RESET ALL;

-- Countersign's database. TEMPORARY: the mirror writes many rows by way of a table that goes with the session.
ALTER DATABASE :"DBNAME" OWNER TO countersign_owner;
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO countersign_app;
ALTER SCHEMA public OWNER TO countersign_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO countersign_app;

-- Large objects belong to who makes them, so one of theirs would stop each backup. Nothing here uses any.
REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC;

-- What later migrations make has the rights at once.
ALTER DEFAULT PRIVILEGES FOR ROLE countersign_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO countersign_app;
-- UPDATE: after an older backup was restored, numbers of requests go on beyond those that MLflow knows of.
ALTER DEFAULT PRIVILEGES FOR ROLE countersign_owner IN SCHEMA public GRANT USAGE, UPDATE ON SEQUENCES TO countersign_app;

\if :with_backup
  ALTER ROLE countersign_backup LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
      PASSWORD :'backup_password';
  ALTER ROLE countersign_backup RESET ALL;
  GRANT pg_read_all_data TO countersign_backup;
  GRANT CONNECT ON DATABASE :"DBNAME" TO countersign_backup;
\endif

\if :with_mlflow
  ALTER ROLE mlflow LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'mlflow_password';
  SELECT 'CREATE DATABASE mlflow OWNER mlflow' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'mlflow') \gexec
  REVOKE ALL ON DATABASE mlflow FROM PUBLIC;
  \if :with_backup
    GRANT CONNECT ON DATABASE mlflow TO countersign_backup;
  \endif
\endif
