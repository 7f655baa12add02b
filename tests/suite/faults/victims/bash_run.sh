#!/usr/bin/env bash
# The classic runner: build, up, wait, `compose run --rm`, report the seconds.
set -euo pipefail

compose() {
    docker compose --project-name "$FAULTS_PROJECT" --env-file .env.test \
        --file docker-compose.test.yml --file "$FAULTS_MORE" "$@"
}

cleanup() {
    echo "cleaning up"
    compose down --volumes --remove-orphans >/dev/null 2>&1 || true
}
trap cleanup EXIT INT TERM

wait_for() {
    echo "waiting for $1"
    for _ in $(seq 1 60); do
        container=$(compose ps --quiet "$1")
        if [ "$(docker inspect --format '{{.State.Health.Status}}' "$container")" = healthy ]; then
            return 0
        fi
        sleep 0.5
    done
    echo "$1 is not healthy"
    return 1
}

echo "down"
compose down --volumes --remove-orphans
echo "build"
compose build db test-runner
echo "up"
compose up --detach db
wait_for db
echo "test"
if compose run --rm -T test-runner; then
    echo "passed after $SECONDS s"
else
    echo "failed after $SECONDS s"
    exit 1
fi
