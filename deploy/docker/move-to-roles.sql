-- Gives the tables, sequences and functions of an installation that exists to countersign_owner, and their rows to
-- countersign_app. Safe to repeat.
--
-- Stop web, worker and beat, run roles.sql, then this as a superuser in Countersign's database, then `manage.py migrate` as
-- countersign_owner, which takes back what countersign_app must not write:
--
--   psql --set ON_ERROR_STOP=1 --single-transaction --file move-to-roles.sql postgresql://postgres@host/countersign
--
-- The role from before keeps its password, which every process knew: change it, or take away its right to sign in.
-- Not REASSIGN OWNED: PostgreSQL refuses that for the superuser of its first start, whom the tables often belong to.
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        -- Tables first: the sequences of their numbers go with them.
        SELECT format('ALTER %s %s OWNER TO countersign_owner',
            CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END, oid::regclass)
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
        UNION ALL
        SELECT format('ALTER SEQUENCE %s OWNER TO countersign_owner', oid::regclass)
        FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i', 'e'))
        UNION ALL
        SELECT format('ALTER ROUTINE %s OWNER TO countersign_owner', oid::regprocedure)
        FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO countersign_app;
GRANT USAGE, UPDATE ON ALL SEQUENCES IN SCHEMA public TO countersign_app;
