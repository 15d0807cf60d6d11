# Sourced by npm-start.sh and npm-test.sh with the checkout as working directory. Brings the npm packages into
# node_modules when they are missing or older than the lock file, and sets $node to a Node.js that is new enough.
# POSIX sh: the machine's own node may be too old to run any of our code.

say() { printf '%s\n' "gantry set-up: $*"; }

works() { [ -x "$1" ] && "$1" -e 'process.exit(+process.versions.node.split(".")[0] >= 24 ? 0 : 1)' >/dev/null 2>&1; }

# npm writes .package-lock.json last, so it stands for a whole install, and is older after a pull that changed packages.
if [ ! -f node_modules/.package-lock.json ] || [ -n "$(find package-lock.json -newer node_modules/.package-lock.json)" ]; then
  say "installing the npm packages, Node.js 24 among them (npm ci) ..."
  if ! npm ci --no-audit --no-fund --loglevel=error >&2; then
    say "npm ci failed. Check that this machine reaches the npm registry, then try again." >&2
    exit 1
  fi
fi

node="$PWD/node_modules/.bin/node"
if ! works "$node"; then
  # No prebuilt Node.js for this processor or C library: the machine's own will do if it is new enough.
  bundled="$node"
  node=
  old_ifs=$IFS
  IFS=:
  for dir in $PATH; do
    [ "$dir/node" = "$bundled" ] || ! works "$dir/node" || { node="$dir/node"; break; }
  done
  IFS=$old_ifs
fi
if [ -z "$node" ]; then
  say "Gantry needs Node.js 24. The copy that npm brings does not run here ($(uname -m); it needs glibc on x86_64 or arm64)." >&2
  say "Install Node.js 24 or newer from your distribution or nodejs.org so that 'node' finds it, then try again." >&2
  exit 1
fi
# Tools started from here (vitest, tsc) look node up in PATH.
PATH="$(dirname "$node"):$PWD/node_modules/.bin:$PATH"
export PATH
