-- Refuses, in MLflow's own PostgreSQL database, what did not pass through the gate in the MLflow server. Safe to repeat.
-- README.md beside this file says what it holds and what not; remove.sql undoes it.
--
--   psql --set ON_ERROR_STOP=1 --single-transaction --set gate_password=… --file install.sql postgresql://dba@host/mlflow
--
-- Run it as a role that is neither MLflow's nor the gate's: who runs it owns the functions and the table of permits.
SET LOCAL search_path = public;

SELECT format('CREATE ROLE countersign_gate LOGIN PASSWORD %L', :'gate_password')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'countersign_gate') \gexec

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

-- What the gate lets through now. A row is used by one transaction, and removed when the change is made.
CREATE TABLE IF NOT EXISTS countersign.permits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model text NOT NULL,
    place text,      -- NULL: any place of the model, for deletions and renaming
    version integer, -- NULL: any
    expires_at timestamptz NOT NULL,
    used_by xid8
);

CREATE OR REPLACE FUNCTION countersign.permit(model text, place text, version integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM countersign.permits WHERE expires_at < clock_timestamp();
    INSERT INTO countersign.permits (model, place, version, expires_at)
    VALUES ($1, $2, $3, clock_timestamp() + interval '10 seconds')
    RETURNING id;
$$;

CREATE OR REPLACE FUNCTION countersign.withdraw(permit bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM countersign.permits WHERE id = $1;
$$;

REVOKE ALL ON FUNCTION countersign.permit, countersign.withdraw FROM PUBLIC;
GRANT EXECUTE ON FUNCTION countersign.permit, countersign.withdraw TO countersign_gate;

CREATE OR REPLACE FUNCTION countersign.is_guarded(asked text, model text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(bool_and(guarded), false) FROM countersign.places
    WHERE lower(place) = lower(asked)
        AND model LIKE translate(regexp_replace(models, '([%_\\])', '\\\1', 'g'), '*?', '%_')
$$;

-- Uses a permit for this change, in the transaction of the change, or raises. What leaves a place needs any permit for the
-- model: a promotion archives what was there.
CREATE OR REPLACE FUNCTION countersign.need(asked_model text, asked_place text, asked_version integer, arrives boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE countersign.permits SET used_by = pg_current_xact_id()
    WHERE id = (
        SELECT id FROM countersign.permits
        WHERE model = asked_model AND expires_at > clock_timestamp()
            AND (used_by IS NULL OR used_by = pg_current_xact_id())
            AND (NOT arrives OR place IS NULL OR lower(place) = lower(asked_place))
            AND (NOT arrives OR version IS NULL OR version = asked_version)
        ORDER BY used_by NULLS LAST, id LIMIT 1
    );
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = format(
            '%s version %s: %s is guarded by Countersign, and MLflow''s gate did not let this change pass.',
            asked_model, asked_version, asked_place);
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION countersign.guard_version() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- What may change while a version holds a place. Everything else, such as where its files are, may not.
    free text[] := ARRAY['description', 'last_updated_time', 'status', 'status_message', 'user_id'];
BEGIN
    IF TG_OP = 'UPDATE' AND to_jsonb(OLD) - free = to_jsonb(NEW) - free THEN
        RETURN NEW;
    END IF;
    IF TG_OP <> 'INSERT' AND countersign.is_guarded('stage:' || OLD.current_stage, OLD.name) THEN
        PERFORM countersign.need(OLD.name, 'stage:' || OLD.current_stage, OLD.version, false);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF countersign.is_guarded('stage:' || NEW.current_stage, NEW.name) THEN
        PERFORM countersign.need(NEW.name, 'stage:' || NEW.current_stage, NEW.version, true);
    END IF;
    RETURN NEW;
END
$$;

CREATE OR REPLACE FUNCTION countersign.guard_alias() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD IS NOT DISTINCT FROM NEW THEN
        RETURN NEW;
    END IF;
    IF TG_OP <> 'INSERT' AND countersign.is_guarded('alias:' || OLD.alias, OLD.name) THEN
        PERFORM countersign.need(OLD.name, 'alias:' || OLD.alias, OLD.version, false);
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    IF countersign.is_guarded('alias:' || NEW.alias, NEW.name) THEN
        PERFORM countersign.need(NEW.name, 'alias:' || NEW.alias, NEW.version, true);
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
    FOR EACH ROW EXECUTE FUNCTION countersign.guard_version();
CREATE TRIGGER countersign_guard BEFORE INSERT OR UPDATE OR DELETE ON registered_model_aliases
    FOR EACH ROW EXECUTE FUNCTION countersign.guard_alias();
CREATE TRIGGER countersign_no_truncate BEFORE TRUNCATE ON model_versions EXECUTE FUNCTION countersign.refuse();
CREATE TRIGGER countersign_no_truncate BEFORE TRUNCATE ON registered_model_aliases EXECUTE FUNCTION countersign.refuse();
