#!/bin/sh
# Starts Prometheus in Compose with deploy/prometheus: the server has another name here, and the token comes from a variable.
set -eu

if [ -z "${METRICS_TOKEN:-}" ]; then
    printf 'error: SWITCHBOARD_METRICS__TOKEN is empty in .env\nhint: put some 48 random characters there, as deploy/compose/make-env does\n' >&2
    exit 64
fi
umask 077
printf '%s' "$METRICS_TOKEN" >/tmp/switchboard.token
cp /etc/switchboard/alerts.yml /tmp/alerts.yml
sed -e 's|/etc/prometheus/switchboard.token|/tmp/switchboard.token|' -e 's|127\.0\.0\.1:8080|switchboard:8080|' \
    /etc/switchboard/prometheus.yml >/tmp/prometheus.yml
unset METRICS_TOKEN
exec prometheus --config.file=/tmp/prometheus.yml --storage.tsdb.path=/prometheus --enable-feature=exemplar-storage
