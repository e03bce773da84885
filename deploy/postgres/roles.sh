#!/bin/sh
# Run once by the image, in a new cluster: a role and databases each for the connector and for Temporal. Neither reaches
# the other's.
set -eu
psql --set=ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
\set connector `cat /run/secrets/connector_database_password`
\set temporal `cat /run/secrets/temporal_database_password`
CREATE ROLE connector LOGIN PASSWORD :'connector';
CREATE ROLE temporal LOGIN PASSWORD :'temporal';
CREATE DATABASE connector OWNER connector;
CREATE DATABASE temporal OWNER temporal;
CREATE DATABASE temporal_visibility OWNER temporal;
REVOKE CONNECT ON DATABASE connector, temporal, temporal_visibility FROM PUBLIC;
SQL
