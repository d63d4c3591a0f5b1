#!/usr/bin/env bash
# State and description of the server. They need no key, except the metrics.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

title 'what the server is, and its paths'
curl "$BASE_URL/" | jq .

title 'alive?'
curl "$BASE_URL/health" | jq .

title 'ready for requests? If not, the status is 503, and the body says what to do'
curl "$BASE_URL/ready" | jq '{status, workers}'

title 'do streams pass the proxies in between? The events come 200 ms apart'
curl --no-buffer "$BASE_URL/health/stream?n=3"

title 'the OpenAPI document'
curl "$BASE_URL/openapi.json" | jq '.info | {title, version}'

title 'the page that shows it, for a browser, and its two files'
for path in /docs /docs/docs.css /docs/docs.js; do
    curl --output /dev/null --write-out "$path: %{size_download} bytes of %{content_type}\n" "$BASE_URL$path"
done

title 'metrics, with the setting metrics.token'
if [[ -n ${METRICS_TOKEN:-} ]]; then
    curl "$BASE_URL/metrics" -H "Authorization: Bearer $METRICS_TOKEN" | grep '^switchboard_build_info'
else
    echo 'left out: METRICS_TOKEN is not set'
fi
