#!/usr/bin/env bash
# Submits r1jax to SLURM: one process a GPU node, which drives all GPUs of the node.
#
#   launch/slurm.sh --nodes=4 [--gpus=8] [--time=24:00:00] [--partition=P] [--dry-run] -- --config=experiments/r1_zero.py:qwen_7b
#
# What stands behind `--` goes to r1jax.main. SLURM sends SIGTERM two minutes before the time is up:
# the job saves, ends with status 143 and queues itself again, as it does with status 75, when one of
# its processes was lost. Work directory and this folder must be shared by the nodes.
set -euo pipefail

usage() { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64; }

nodes='' gpus=8 limit=24:00:00 partition='' port=12355 dry=''
while [ $# -gt 0 ]; do
  case $1 in
    --nodes=*) nodes=${1#*=} ;;
    --gpus=*) gpus=${1#*=} ;;
    --time=*) limit=${1#*=} ;;
    --partition=*) partition=${1#*=} ;;
    --port=*) port=${1#*=} ;;
    --dry-run) dry=1 ;;
    --) shift; break ;;
    *) echo "unknown flag $1" >&2; usage ;;
  esac
  shift
done
if [ -z "$nodes" ] || [ $# = 0 ]; then usage; fi

here=$(cd "$(dirname "$0")/.." && pwd)
job=$(printf '%q ' "$@")
script=$(
  cat <<END
#!/usr/bin/env bash
#SBATCH --job-name=r1jax
#SBATCH --nodes=$nodes
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=$gpus
#SBATCH --exclusive
#SBATCH --time=$limit
#SBATCH --signal=TERM@120
#SBATCH --requeue
${partition:+#SBATCH --partition=$partition}
set -euo pipefail
cd $(printf '%q' "$here")
first=\$(scontrol show hostnames "\$SLURM_JOB_NODELIST" | head -n 1)
export first
export XLA_PYTHON_CLIENT_MEM_FRACTION=0.95 # of a GPU: the plan counts on almost all of it
srun --kill-on-bad-exit=1 bash -c 'exec .venv/bin/python -m r1jax.main --coordinator="\$first:$port" --processes="\$SLURM_NTASKS" --process="\$SLURM_PROCID" "\$@"' r1jax $job || status=\$?
case "\${status:-0}" in 75 | 143) scontrol requeue "\$SLURM_JOB_ID" ;; esac
exit "\${status:-0}"
END
)
if [ -n "$dry" ]; then
  printf 'sbatch <<END\n%s\nEND\n' "$script"
else
  printf '%s\n' "$script" | sbatch
fi
