#!/usr/bin/env bash
# The manual's other way: compose itself stops all once the tests have ended.
set -euo pipefail

compose() {
    docker compose --project-name "$FAULTS_PROJECT" --env-file .env.test \
        --file docker-compose.test.yml --file "$FAULTS_MORE" --profile test "$@"
}

cleanup() {
    echo "cleaning up"
    compose down --volumes --remove-orphans >/dev/null 2>&1 || true
}
trap cleanup EXIT INT TERM

echo "down"
compose down --volumes --remove-orphans
echo "build"
compose build
echo "up and test"
if compose up --abort-on-container-exit --exit-code-from test-runner; then
    echo "passed after $SECONDS s"
else
    echo "failed after $SECONDS s"
    exit 1
fi
