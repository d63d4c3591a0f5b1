#!/bin/sh
# Makes a self-signed certificate in /certificates, unless there is one: fullchain.pem and privkey.pem, as certbot names them.
set -eu

cd /certificates
if [ -s fullchain.pem ] && [ -s privkey.pem ]; then
    exit 0
fi
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj "/CN=$DOMAIN" \
    -addext "subjectAltName=DNS:$DOMAIN,DNS:localhost,IP:127.0.0.1" -keyout /tmp/privkey.pem -out fullchain.pem
# nginx runs as another user, and root may not change owners here. The volume is open to root alone.
cat /tmp/privkey.pem >privkey.pem
chmod 0644 privkey.pem
printf 'made a certificate for %s that clients do not trust, for a try\n' "$DOMAIN"
