#!/bin/bash
# What:     One node's part of pretrain.sbatch, which starts it with srun: torchrun with a process per GPU, all nodes meeting at
#           $RENDEZVOUS.
# Command:  see pretrain.sbatch
# Hardware: see pretrain.sbatch
# Time:     see pretrain.sbatch
# Result:   see pretrain.sbatch
#
# Signals go to the ranks directly. torchrun itself would die of SIGUSR1, and after SIGTERM it kills the ranks in 30 seconds, which
# is too short for a large checkpoint; so it sees neither and just waits for its ranks. They ignore both too until they train; so a
# request is repeated until they end. It is always SIGUSR1, which never ends a rank, however often it comes.
set -u

asked=false
trap 'asked=true' USR1 TERM

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

repeats=false
interrupted=false
ask() {
    interrupted=true
    ! $repeats || return
    repeats=true
    (
        trap '' USR1 TERM # SLURM sends signals to all processes of a step
        while kill -0 "$torchrun"; do
            pkill -USR1 --parent "$torchrun"
            sleep 5
        done
    ) >/dev/null 2>&1 &
}
trap ask USR1 TERM
! $asked || ask

# A signal ends `wait` early; then torchrun is still running.
while :; do
    interrupted=false
    wait "$torchrun"
    status=$?
    $interrupted || exit "$status"
done
