#!/usr/bin/env bash
# Runs r1jax on this host's GPUs, all in one process, and starts it again when it falls over.
#
#   launch/host.sh [--gpus=8] [--tries=5] [--dry-run] -- --config=experiments/r1_zero.py:qwen_1_5b
#
# What stands behind `--` goes to r1jax.main; the same command resumes from its checkpoints.
set -euo pipefail

usage() { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 64; }

gpus=8 tries=5 dry=''
while [ $# -gt 0 ]; do
  case $1 in
    --gpus=*) gpus=${1#*=} ;;
    --tries=*) tries=${1#*=} ;;
    --dry-run) dry=1 ;;
    --) shift; break ;;
    *) echo "unknown flag $1" >&2; usage ;;
  esac
  shift
done
if [ $# = 0 ]; then usage; fi

cd "$(dirname "$0")/.."
devices=$(seq -s, 0 $((gpus - 1)))
# The allocator may take almost all of the memory: the plan counts on it.
command=(env "CUDA_VISIBLE_DEVICES=$devices" XLA_PYTHON_CLIENT_MEM_FRACTION=0.95
  .venv/bin/python -m r1jax.main "$@")
install=(.venv/bin/pip install -q -e '.[gpu]')
if [ -n "$dry" ]; then
  printf '%q ' python3 -m venv .venv; echo
  printf '%q ' "${install[@]}"; echo
  printf '%q ' "${command[@]}"; echo
  exit 0
fi
[ -d .venv ] || python3 -m venv .venv
"${install[@]}"
for try in $(seq "$tries"); do
  status=0
  "${command[@]}" || status=$?
  # 1 is a user's error, 128 + n a signal that somebody sent: neither is tried again, a crash is.
  case $status in 0 | 1 | 130 | 143) exit "$status" ;; esac
  echo "attempt $try of $tries ended with status $status" >&2
done
exit "$status"
