#!/bin/sh
# Makes the files of secrets that docker-compose.yml gives to its containers: sh deploy/docker/make-secrets.sh [FOLDER]
#
# Random ones by openssl. What is there already stays as it is, so it can be run again: after an upgrade that wants one
# more, or to fill in what was moved there from an installation that exists. The folder is yours alone (0700). The files in
# it are not (0444): Compose mounts them as they are, and in the containers their readers are other users.
set -eu
umask 077
folder=${1:-$(dirname "$0")/../../secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

# Reads the value from standard input, and keeps it unless the file is there.
keep() {
    if [ -e "$1" ]; then
        cat > /dev/null
        echo "$1: is there already, and stays"
        return
    fi
    cat > "$1.new"
    if [ ! -s "$1.new" ]; then
        echo "$1: could not be made; this needs OpenSSL 1.1.1 or newer" >&2
        exit 1
    fi
    chmod 444 "$1.new"
    mv "$1.new" "$1"
    echo "$1: made"
}

for name in secret_key gate_token metrics_token mlflow_flask_key mlflow_webhook_secret \
    mlflow_admin_password mlflow_password broker_password \
    database_superuser_password database_owner_password database_app_password database_backup_password \
    database_mlflow_password; do
    openssl rand -hex 32 | keep $name
done

# Signs what MLflow lets through, and what signs the ledger: each a key of its own, for the worker alone.
openssl genpkey -algorithm ed25519 | keep gate_key
openssl genpkey -algorithm ed25519 | keep checkpoint_key
# The last 32 bytes of an Ed25519 public key are the key. MLflow has this one.
if [ ! -e gate_public_key ]; then
    openssl pkey -in gate_key -pubout -outform DER | tail -c 32 | base64 | keep gate_public_key
fi

address() {
    echo "postgresql://countersign_$1:$(cat "database_$1_password")@postgres:5432/countersign"
}
address owner | keep database_owner_url
address app | keep database_app_url
echo "redis://:$(cat broker_password)@valkey:6379/0" | keep broker_url

keep valkey.conf <<END
bind * -::*
port 6379
requirepass $(cat broker_password)
# What it holds may be lost: PostgreSQL has what is owed.
save ""
appendonly no
dir /tmp
maxmemory 192mb
maxmemory-policy noeviction
END

# As libpq reads it: so no password stands on MLflow's command line, which everybody on the host can see.
keep mlflow_database <<END
[mlflow]
host=postgres
port=5432
dbname=mlflow
user=mlflow
password=$(cat database_mlflow_password)
END

keep mlflow_auth <<END
[mlflow]
database_uri = postgresql+psycopg2:///mlflow?service=mlflow
# Roles only add to this. Each call would compute a slow hash of the password, if it were not kept for a minute.
default_permission = NO_PERMISSIONS
auth_cache_ttl_seconds = 60
admin_username = admin
admin_password = $(cat mlflow_admin_password)
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END

# Yours to fill in, where there is one: printf %s '…' > NAME. An empty file is the same as none.
for name in email_url oidc_client_secret proxy_auth_secret chat_urls mlflow_token; do
    [ -e $name ] || : > $name
    chmod 644 $name
done
chmod 644 mlflow_password  # the worker reads what is written into it without a restart
