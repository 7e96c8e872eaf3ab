#!/usr/bin/env bash
# Runs r1jax on all workers of a Cloud TPU slice, requested as a queued resource.
#
#   launch/tpu.sh --name=r1 --zone=us-east5-a --type=v5p-2048 [--dry-run] -- --config=experiments/r1_zero.py:v3_671b
#
# What stands behind `--` goes to r1jax.main. The job is started again after a pre-emption by the
# same command: it finds its checkpoints in the work directory, which must be on shared storage.
set -euo pipefail

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 64; }

name=r1jax zone='' type='' version=v2-alpha-tpuv5 spot='' dry=''
while [ $# -gt 0 ]; do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --type=*) type=${1#*=} ;;
    --version=*) version=${1#*=} ;;
    --spot) spot=--spot ;;
    --dry-run) dry=1 ;;
    --) shift; break ;;
    *) echo "unknown flag $1" >&2; usage ;;
  esac
  shift
done
if [ -z "$zone" ] || [ -z "$type" ] || [ $# = 0 ]; then usage; fi

run() {
  if [ -n "$dry" ]; then printf '%q ' "$@"; echo; else "$@"; fi
}

state() {
  gcloud compute tpus queued-resources describe "$name" --zone="$zone" --format='value(state.state)' 2>/dev/null || true
}

# The coordinator is found by JAX itself on a TPU slice: every worker runs the same command.
job=$(printf '%q ' "$@")
setup="cd r1jax && python3 -m venv .venv && .venv/bin/pip install -q -e '.[tpu]'"
start="cd r1jax && .venv/bin/python -m r1jax.main --distributed $job"

if [ -n "$dry" ] || [ -z "$(state)" ]; then
  run gcloud compute tpus queued-resources create "$name" --node-id="$name" --zone="$zone" \
    --accelerator-type="$type" --runtime-version="$version" ${spot:+"$spot"}
fi
while [ -z "$dry" ] && [ "$(state)" != ACTIVE ]; do
  case $(state) in
    FAILED | SUSPENDED) echo "the slice $name is $(state); delete it and try again" >&2; exit 1 ;;
  esac
  sleep 30
done
run gcloud compute tpus tpu-vm scp --recurse . "$name:r1jax" --zone="$zone" --worker=all
run gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$setup"
run gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$start"
