#!/bin/sh
# Makes the secrets that docker-compose.yml mounts; leaves alone what is there. Other places: sh deploy/secrets.sh FOLDER
#
# The folder is its owner's alone. The files in it can be read by all, because Compose mounts them as they are and the
# users inside of the containers are not you.
set -eu
folder=${1:-secrets}
mkdir -p "$folder"
chmod 700 "$folder"

hex() { head -c "$1" /dev/urandom | od -An -tx1 | tr -d ' \n'; }

make() { # NAME VALUE
  if [ ! -e "$folder/$1" ]; then
    printf '%s\n' "$2" >"$folder/$1"
    chmod 444 "$folder/$1"
    echo "made $folder/$1"
  fi
}

make postgres_password "$(hex 24)"
make temporal_database_password "$(hex 24)"
make connector_database_password "$(hex 24)"
make connector_database_url "postgresql+psycopg://connector:$(cat "$folder/connector_database_password")@postgres/connector"
make connector_master_key "$(hex 4):$(head -c 32 /dev/urandom | base64 | tr -d '\n')"
make connector_admin_token "$(hex 24)"
make connector_codec_token "$(hex 24)"
make grafana_admin_password "$(hex 24)"
