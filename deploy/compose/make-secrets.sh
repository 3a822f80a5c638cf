#!/bin/sh
# Makes the secrets that deploy/compose.yaml mounts: random ones, each once. Files that are there are left as they are.
set -eu
folder="${1:-$(dirname "$0")/../secrets}"
mkdir -p "$folder"
# The folder keeps other users of this machine out; the files are read by the users of the containers.
chmod 0700 "$folder"

random() {
    head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n'
}

write() {
    if [ ! -e "$folder/$1" ]; then
        printf '%s\n' "$2" >"$folder/$1.new"
        chmod 0444 "$folder/$1.new"
        mv "$folder/$1.new" "$folder/$1"
    fi
}

write postgres-password "$(random)"
write database-url "postgres://syncmux:$(cat "$folder/postgres-password")@postgres:5432/platform"
# A Fernet key: 32 bytes as base64 for urls.
write encryption-key "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
write internal-token "$(random)"
write qdrant-api-key "$(random)"
write qdrant-config "service: { api_key: \"$(cat "$folder/qdrant-api-key")\" }"
write grafana-password "$(random)"
