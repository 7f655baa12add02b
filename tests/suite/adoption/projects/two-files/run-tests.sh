#!/bin/sh
set -e
compose="docker compose -f compose.yaml -f compose.test.yaml --profile test"
trap '$compose down --volumes' EXIT
$compose up --build --detach --wait api
$compose run --rm tests "$@"
