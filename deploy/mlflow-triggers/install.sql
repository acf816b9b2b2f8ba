-- Refuses, in MLflow's own PostgreSQL database, what did not pass through the gate in the MLflow server. Safe to repeat.
-- README.md beside this file says what it holds and what not; remove.sql undoes it.
--
--   psql --set ON_ERROR_STOP=1 --single-transaction --set gate_password=… --file install.sql postgresql://dba@host/mlflow
--
-- Run it as a role that is neither MLflow's nor the gate's: who runs it owns the functions and the table of permits.
SET LOCAL search_path = public;

SELECT format('CREATE ROLE countersign_gate LOGIN PASSWORD %L', :'gate_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'countersign_gate') \gexec
-- Where not everybody may connect, as after deploy/docker/roles.sql.
SELECT format('GRANT CONNECT ON DATABASE %I TO countersign_gate', current_database())
WHERE NOT has_database_privilege('countersign_gate', current_database(), 'CONNECT') \gexec

CREATE SCHEMA IF NOT EXISTS countersign;
REVOKE ALL ON SCHEMA countersign FROM PUBLIC;
GRANT USAGE ON SCHEMA countersign TO countersign_gate;

-- What is guarded: 'stage:Production' or 'alias:champion', and for which models (* any text, ? one character). A row with
-- guarded = false excepts models from the others. Keep it in step with the targets that Countersign enforces.
CREATE TABLE IF NOT EXISTS countersign.places (
    place text NOT NULL CHECK (place ~ '^(stage|alias):.'),
    models text NOT NULL DEFAULT '*',
    guarded boolean NOT NULL DEFAULT true,
    PRIMARY KEY (place, models)
);
INSERT INTO countersign.places (place)
SELECT unnest(ARRAY['stage:Production', 'alias:champion'])
WHERE NOT EXISTS (SELECT FROM countersign.places);

-- What the gate lets pass now, one batch for each call of it: a version arrives at a place, or leaves one. A batch is used by
-- one transaction, and is withdrawn when the call is over.
CREATE SEQUENCE IF NOT EXISTS countersign.batches;
CREATE TABLE IF NOT EXISTS countersign.permits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch bigint NOT NULL,
    model text NOT NULL,
    place text NOT NULL, -- as above; 'stage:*' and 'alias:*' for any; 'name:churn' for the name that a model is given
    version integer,     -- NULL: any
    arrives boolean NOT NULL,
    expires_at timestamptz NOT NULL DEFAULT clock_timestamp() + interval '10 seconds',
    used_by xid8
);

CREATE OR REPLACE FUNCTION countersign.permit(changes jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    given bigint := nextval('countersign.batches');
BEGIN
    DELETE FROM countersign.permits WHERE expires_at < clock_timestamp();
    INSERT INTO countersign.permits (batch, model, place, version, arrives)
    SELECT given, each.model, each.place, each.version, each.arrives
    FROM jsonb_to_recordset(changes) AS each (model text, place text, version integer, arrives boolean);
    RETURN given;
END
$$;

CREATE OR REPLACE FUNCTION countersign.withdraw(given bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM countersign.permits WHERE batch = $1;
$$;

REVOKE ALL ON FUNCTION countersign.permit, countersign.withdraw FROM PUBLIC;
GRANT EXECUTE ON FUNCTION countersign.permit, countersign.withdraw TO countersign_gate;

CREATE OR REPLACE FUNCTION countersign.is_guarded(asked text, model text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_and(guarded), false) FROM countersign.places
    WHERE lower(place) = lower(asked)
        AND model LIKE translate(regexp_replace(models, '([%_\\])', '\\\1', 'g'), '*?', '%_')
$$;

-- Uses a permit for this change, in the transaction of the change, or raises.
CREATE OR REPLACE FUNCTION countersign.need(asked_model text, asked_place text, asked_version integer, does_arrive boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE countersign.permits SET used_by = pg_current_xact_id()
    WHERE batch = (
        SELECT batch FROM countersign.permits
        WHERE model = asked_model AND arrives = does_arrive AND expires_at > clock_timestamp()
            AND (lower(place) = lower(asked_place) OR place = split_part(asked_place, ':', 1) || ':*')
            AND (version IS NULL OR version = asked_version)
            AND (used_by IS NULL OR used_by = pg_current_xact_id())
        ORDER BY used_by NULLS LAST, id LIMIT 1
    )
    -- Once more, because another transaction may have used it while this one waited for its row.
    AND (used_by IS NULL OR used_by = pg_current_xact_id());
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format(
            '%s version %s: %s is guarded by Countersign, and MLflow''s gate did not let this change pass.',
            asked_model, asked_version, asked_place);
    END IF;
END
$$;

-- One row of a version or an alias, before and after; NULL where there is none. A new name moves it from one model to another.
CREATE OR REPLACE FUNCTION countersign.judge(kind text, place_column text, before jsonb, after jsonb)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    old_place text := kind || ':' || (before ->> place_column);
    new_place text := kind || ':' || (after ->> place_column);
    leaves boolean := before IS NOT NULL AND countersign.is_guarded(old_place, before ->> 'name');
    arrives boolean := after IS NOT NULL AND countersign.is_guarded(new_place, after ->> 'name');
BEGIN
    IF (leaves OR arrives) AND before - 'name' = after - 'name' THEN
        PERFORM countersign.need(before ->> 'name', 'name:' || (after ->> 'name'), (before ->> 'version')::integer, true);
        RETURN;
    END IF;
    IF leaves THEN
        PERFORM countersign.need(before ->> 'name', old_place, (before ->> 'version')::integer, false);
    END IF;
    IF arrives THEN
        PERFORM countersign.need(after ->> 'name', new_place, (after ->> 'version')::integer, true);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION countersign.guard() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- What may change while a version holds a place. Everything else, such as where its files are, may not.
    free text[] := ARRAY['description', 'last_updated_time', 'status', 'status_message', 'user_id'];
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - free END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - free END;
BEGIN
    IF before IS DISTINCT FROM after THEN
        PERFORM countersign.judge(TG_ARGV[0], TG_ARGV[1], before, after);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION countersign.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
        MESSAGE = format('%s is guarded by Countersign and is not emptied.', TG_TABLE_NAME);
END
$$;

DROP TRIGGER IF EXISTS countersign_guard ON model_versions;
DROP TRIGGER IF EXISTS countersign_guard ON registered_model_aliases;
DROP TRIGGER IF EXISTS countersign_no_truncate ON model_versions;
DROP TRIGGER IF EXISTS countersign_no_truncate ON registered_model_aliases;
CREATE TRIGGER countersign_guard BEFORE INSERT OR UPDATE OR DELETE ON model_versions
    FOR EACH ROW EXECUTE FUNCTION countersign.guard('stage', 'current_stage');
CREATE TRIGGER countersign_guard BEFORE INSERT OR UPDATE OR DELETE ON registered_model_aliases
    FOR EACH ROW EXECUTE FUNCTION countersign.guard('alias', 'alias');
CREATE TRIGGER countersign_no_truncate BEFORE TRUNCATE ON model_versions EXECUTE FUNCTION countersign.refuse();
CREATE TRIGGER countersign_no_truncate BEFORE TRUNCATE ON registered_model_aliases EXECUTE FUNCTION countersign.refuse();
