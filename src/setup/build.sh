#!/bin/sh
# npm run build: compiles src/ to dist/ for the package; Node.js does not strip types below node_modules.
set -eu
cd "$(dirname "$0")/../.."
rm -rf dist
tsc -p src/tsconfig.build.json
# What the code reads beside itself (profiles, templates …).
cd src
find . -type f ! -name '*.ts' ! -name '*.sh' ! -name 'tsconfig*.json' -exec cp --parents {} ../dist \;
# The programs of micro-VMs, so that an installed gantry needs no compiler.
node setup/programs.ts ../dist/sandbox/microvm/programs
