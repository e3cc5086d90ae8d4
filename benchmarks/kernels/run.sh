#!/usr/bin/env bash
# All that the kernels must show on a GPU, in under 8 minutes: build, self-check, bandwidth, whole steps.
#
#     benchmarks/kernels/run.sh [FOLDER FOR THE TABLES]
#
# It needs a checkout, torch for CUDA and nvcc, and makes its own data. PYTHON says which Python (default: python3). What cannot
# run here says NOT RUN. Ends with 1 if anything fails; what takes too long is cut off and said.
set -uo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
out=${1:-${OUT:-runs/kernels}}
export PYTHONPATH=$PWD
mkdir -p "$out"
failed=0
end=470
# Rows are added to tables as they come; those of an earlier run are not of this commit, nor perhaps of this machine.
for table in steps operations results; do
    if [ -e "$out/$table.csv" ]; then mv "$out/$table.csv" "$out/$table.before.csv"; fi
done

say() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }

limited() { # seconds, command: cut off what takes too long or goes beyond the end, remember what fails, and go on
    local seconds=$1 left=$((end - SECONDS)) status
    shift
    if [ $left -le 0 ]; then echo "NOT RUN: the time is over"; return 124; fi
    seconds=$((seconds < left ? seconds : left))
    timeout "$seconds" "$@" && return
    status=$?
    if [ $status = 124 ]; then echo "CUT OFF after $seconds s"; else echo "FAILED with $status"; failed=1; fi
    return $status
}

say "machine"
{
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null || echo "no NVIDIA driver"
    "$python" -c 'import torch
device = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
print("torch", torch.__version__, "CUDA", torch.version.cuda, "device", device)'
    if commit=$(git log -1 --format=%h 2>/dev/null); then
        echo "commit $commit$(git diff --quiet HEAD || echo ' with changes')"
    else
        echo "commit not known"
    fi
} | tee "$out/machine.txt"

say "build"
library=megatron_bio/kernels/_cuda.so
if command -v nvcc >/dev/null || [ -x "${CUDA_HOME:-}/bin/nvcc" ]; then
    limited 120 "$python" csrc/compile_kernels.py --output "$library.new" --table "$out/registers.csv" &&
        rm -f megatron_bio/kernels/_cuda*.so && mv "$library.new" "$library"
else
    echo "NOT RUN: nvcc is neither in the PATH nor in \$CUDA_HOME/bin"
fi

say "self-check against float64"
limited 60 "$python" -m megatron_bio.kernels --cases 40

say "whole steps"
limited 220 "$python" benchmarks/kernels/steps.py --table "$out/steps.csv"

operations=(layer_norm bias_gelu bias_dropout_add bias_dropout_add_norm softmax_dropout cross_entropy rows_at embedding_sum)
for number in "${!operations[@]}"; do
    operation=${operations[$number]}
    say "$operation"
    # What is left is for all that are left.
    share=$(((end - SECONDS) / (${#operations[@]} - number)))
    limited $((share > 1 ? share : 1)) "$python" "benchmarks/kernels/$operation.py" --table "$out/operations.csv"
done

say "rows for benchmarks/results.csv"
"$python" benchmarks/kernels/record.py "$out" "$SECONDS" || failed=1

say "end"
exit $failed
