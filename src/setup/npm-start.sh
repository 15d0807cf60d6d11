#!/bin/sh
# npm start: sets up what is missing, then runs the controller in the foreground on manifests/, with its state in .gantry/.
set -eu
cd "$(dirname "$0")/../.."
. src/setup/npm-packages.sh
"$node" src/setup/setup.ts --root .gantry
exec "$node" --max-semi-space-size=1 src/cli/main.ts daemon --root .gantry --manifests "$PWD/manifests" --stop-pods-on-exit "$@"
