#!/usr/bin/env bash
# A runner as many projects have one: written for the tests of `adopt`.
set -euo pipefail

cd "$(dirname "$0")/.."
COMPOSE="docker compose -f docker/docker-compose.test.yml --env-file env/.env.test"
BUILD=false
NO_CACHE=""
KEEP=false
VERBOSE=false
SERVICES=false
PYTEST_ARGS=(-m integration -v --tb=short)

usage() {
    cat <<EOF
Usage: $0 [--build] [--no-cache] [--keep] [--verbose] [--services] [-- PYTEST ARGS]
This text is no command: docker system prune -af
EOF
}

while [[ $# -gt 0 ]]; do
    case "$1" in
        --build) BUILD=true; shift ;;
        --no-cache) BUILD=true; NO_CACHE="--no-cache"; shift ;;
        --keep) KEEP=true; shift ;;
        --verbose) VERBOSE=true; set -x; shift ;;
        --services) SERVICES=true; shift ;;
        --parallel) WORKERS="$2"; shift 2 ;;
        -h|--help) usage; exit 0 ;;
        --) shift; PYTEST_ARGS=("$@"); break ;;
        *) echo "unknown option: $1" >&2; usage; exit 2 ;;
    esac
done

command -v docker >/dev/null || { echo "docker is missing" >&2; exit 1; }
docker compose version >/dev/null 2>&1 || exit 1

cleanup() {
    if [[ "$KEEP" != true && "$SERVICES" != true ]]; then
        $COMPOSE down -v --remove-orphans
    fi
}
trap cleanup EXIT

START=$(date +%s)
$COMPOSE down -v --remove-orphans

if [ "$BUILD" = true ]; then
    $COMPOSE build $NO_CACHE test-runner
fi

BUILT=$(docker image inspect shop-test-runner --format '{{.Created}}')
echo "image: $BUILT, HEAD: $(git log -1 --format='%H %ai %s')"
docker run --rm shop-test-runner cat /app/tests/api/test_keys.py | grep -q bearer_scheme \
    || echo "the fix is not in the image"

$COMPOSE up -d postgres app

for attempt in $(seq 1 30); do
    if [ "$(docker inspect --format '{{.State.Health.Status}}' shop-app-1)" = healthy ]; then
        break
    fi
    sleep 2
done
until $COMPOSE exec -T postgres pg_isready -U shop; do
    sleep 1
done

$COMPOSE run --rm test-runner alembic upgrade head

if [ "$SERVICES" = true ]; then
    $COMPOSE ps
    $COMPOSE port app 8000
    exit 0
fi

$COMPOSE run --rm test-runner pytest "${PYTEST_ARGS[@]}"
echo "took $(( $(date +%s) - START )) s"
