#!/bin/sh
# npm test: sets up what is missing, then runs every check there is. Arguments go to vitest: npm test -- test/store
set -eu
cd "$(dirname "$0")/../.."
. src/setup/npm-packages.sh
"$node" src/setup/setup.ts --for-tests
exec "$node" test/setup/run.ts "$@"
