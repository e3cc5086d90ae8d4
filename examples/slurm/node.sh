#!/bin/bash
# What:     One node's part of pretrain.sbatch, which starts it with srun: torchrun with a process per GPU, all nodes meeting at
#           $RENDEZVOUS.
# Command:  see pretrain.sbatch
# Hardware: see pretrain.sbatch
# Time:     see pretrain.sbatch
# Result:   see pretrain.sbatch
#
# Signals go to the ranks directly. torchrun itself would die of SIGUSR1, and after SIGTERM it kills the ranks in 30 seconds, which
# is too short for a large checkpoint; so it sees neither and just waits for its ranks.
set -u

(
    trap '' USR1 TERM # what is ignored here stays ignored in torchrun; the ranks set handlers of their own
    exec "${PYTHON:-python}" -m torch.distributed.run \
        --nnodes "$SLURM_JOB_NUM_NODES" \
        --nproc-per-node "${SLURM_GPUS_ON_NODE:-8}" \
        --rdzv-backend c10d \
        --rdzv-endpoint "$RENDEZVOUS" \
        --rdzv-id "$SLURM_JOB_ID" \
        --signals-to-handle SIGINT,SIGHUP,SIGQUIT \
        -m megatron_bio pretrain "$@"
) &
torchrun=$!

interrupted=false
forward() {
    interrupted=true
    pkill "-$1" --parent "$torchrun"
}
trap 'forward USR1' USR1
trap 'forward TERM' TERM

# A signal ends `wait` early; then torchrun is still running.
while :; do
    interrupted=false
    wait "$torchrun"
    status=$?
    $interrupted || exit "$status"
done
