#!/usr/bin/env bash
# Takes the pages' libraries from npm into static/vendor, or checks that what is there is
# what npm has (--check):
#
#   console/web/vendor.sh
#   console/web/vendor.sh --check
#
# The version is in package.json, its digest in package-lock.json. The files are committed,
# so that building needs no npm.
set -euo pipefail
cd "$(dirname "$0")"
command -v npm >/dev/null || { echo "vendor.sh: npm is missing: install Node.js" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp package.json package-lock.json "$work"
npm ci --prefix "$work" --ignore-scripts --no-audit --no-fund --silent
mkdir -p "$work/vendor"
cp "$work/node_modules/uplot/dist/uPlot.iife.min.js" "$work/node_modules/uplot/dist/uPlot.min.css" "$work/vendor"
cp "$work/node_modules/uplot/LICENSE" "$work/vendor/uPlot.LICENSE.txt"
if [ "${1:-}" = --check ]; then
  diff -r "$work/vendor" static/vendor
  echo "static/vendor is as npm has it"
else
  rm -rf static/vendor
  mv "$work/vendor" static/vendor
fi
