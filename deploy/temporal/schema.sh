#!/bin/sh
# Brings Temporal's two databases to the schema of this image. Safe to repeat: each step looks at what is there.
set -eu
SQL_PASSWORD=$(cat /run/secrets/temporal_database_password)
export SQL_PASSWORD
for store in temporal visibility; do
  database=temporal
  [ "$store" = visibility ] && database=temporal_visibility
  set -- temporal-sql-tool --plugin postgres12 --endpoint "$SQL_HOST" --port 5432 --user temporal --database "$database"
  "$@" setup-schema --version 0.0
  "$@" update-schema --schema-dir "/etc/temporal/schema/postgresql/v12/$store/versioned"
done
