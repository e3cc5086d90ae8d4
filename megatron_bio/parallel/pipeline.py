"""Pipeline parallelism on torch.distributed.pipelining: stages in a row, microbatches through them by a schedule.

Shapes: R rows of a microbatch, S sequence, s positions of this rank, H hidden, M microbatches.

Every stage gets the fields of its microbatches as keyword tensors; only hidden states [s, R, H] travel. The last stage computes
its loss itself, so that several losses need no special case. Sources: 1f1b and interleaved, Narayanan et al., arXiv
2104.04473; zero bubble and V, Qi et al., arXiv 2401.10241.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleZBVZeroBubble,
)

from megatron_bio.config.parallel import ParallelConfig
from megatron_bio.config.stages import Stage, rank_of_stage

_SCHEDULES = {
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
    "zero_bubble": ScheduleInterleavedZeroBubble,
    "zbv": ScheduleZBVZeroBubble,
}
Batch = dict[str, Tensor]
ENTRANCE = "tokens"
"""The field that the first stage takes where the others take hidden states."""


class _ReceivedHidden(torch.autograd.Function):
    """Identity; the gradient, which goes back as a message, is contiguous."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor) -> Tensor:
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.contiguous()


def received(hidden: Tensor) -> Tensor:
    """Return the hidden states of the stage before, for use in this one."""
    return _ReceivedHidden.apply(hidden)


class Pipeline:
    """This rank's stages and the schedule that runs them.

    `hidden` describes what travels between stages, [s, R, H] on the meta device; every microbatch must have it. `num_outputs` is
    the length of the last stage's output vector.
    """

    def __init__(
        self,
        stages: Sequence[tuple[Stage, nn.Module]],
        layout: ParallelConfig,
        pp_mesh: DeviceMesh,
        hidden: Tensor,
        num_outputs: int,
        device: torch.device,
    ) -> None:
        self._stages, self._layout, self._mesh = tuple(stages), layout, pp_mesh
        self._hidden, self._num_outputs, self._device = hidden, num_outputs, device
        self._schedules: dict[tuple[int, int], object] = {}
        self._loss: Callable[[Tensor], Tensor] = torch.sum
        self._outputs: list[Tensor] = []

    def forward_backward(self, microbatches: Sequence[Batch], loss: Callable[[Tensor], Tensor]) -> Tensor:
        """Accumulate gradients of the sum of `loss(output)` over the microbatches; return the summed outputs of the last stage.

        The sum is 0 on ranks that do not hold the last stage.
        """
        self._loss, self._outputs = loss, []
        batch = {name: torch.cat([part[name] for part in microbatches]) for name in microbatches[0]}
        tokens = batch.pop(ENTRANCE)
        entrance = (tokens,) if self._stages[0][0].first else ()
        target = torch.zeros(len(microbatches), device=self._device) if self._stages[-1][0].last else None
        self._schedule(len(microbatches), len(microbatches[0][ENTRANCE])).step(
            *entrance, target=target, **batch
        )
        return self._sum_of_outputs()

    @torch.no_grad()
    def forward(self, microbatches: Iterable[Batch]) -> Tensor:
        """Return the summed outputs of the last stage, without gradients; 0 on ranks that do not hold it."""
        self._outputs = []
        for batch in microbatches:
            fields = dict(batch)
            tokens = fields.pop(ENTRANCE)
            hidden = tokens
            for stage, module in self._stages:
                if not stage.first:
                    hidden = self._receive(hidden, stage.index - 1, len(tokens))
                hidden = module(hidden, **fields)
                if stage.last:
                    self._outputs.append(hidden)
                else:
                    self._send(hidden, stage.index + 1)
        return self._sum_of_outputs()

    def _schedule(self, count: int, rows: int) -> object:
        """Return the schedule for `count` microbatches of `rows` rows; torch fixes both at construction."""
        key = (count, rows)
        if key not in self._schedules:
            built = [self._torch_stage(stage, module, rows) for stage, module in self._stages]
            kind = self._layout.pipeline_schedule
            self._schedules[key] = _SCHEDULES[kind](
                built[0] if kind == "1f1b" else built,
                n_microbatches=count,
                loss_fn=self._collect,
                # The loss is a sum already; torch would divide the accumulated gradients by the number of microbatches.
                scale_grads=False,
            )
        return self._schedules[key]

    def _torch_stage(self, stage: Stage, module: nn.Module, rows: int) -> PipelineStage:
        # With examples of both ends torch need not run the model once to find them out.
        length, _, width = self._hidden.shape
        hidden = torch.empty(length, rows, width, dtype=self._hidden.dtype, device="meta", requires_grad=True)
        tokens = torch.empty(rows, 1, dtype=torch.int64, device="meta")
        outputs = torch.empty(self._num_outputs, device="meta", requires_grad=True)
        return PipelineStage(
            module,
            stage.index,
            stage.num_stages,
            self._device,
            input_args=tokens if stage.first else hidden,
            output_args=outputs if stage.last else hidden,
            group=self._mesh.get_group(),
        )

    def _collect(self, output: Tensor, _: Tensor) -> Tensor:
        self._outputs.append(output.detach())
        return self._loss(output)

    def _sum_of_outputs(self) -> Tensor:
        if not self._outputs:
            return torch.zeros(self._num_outputs, device=self._device)
        return torch.stack(self._outputs).sum(0)

    def _peer(self, stage: int) -> int | None:
        """Return the global rank that holds a stage; None for this one."""
        rank = rank_of_stage(stage, self._layout)
        if rank == self._mesh.get_local_rank():
            return None
        return dist.get_global_rank(self._mesh.get_group(), rank)

    def _receive(self, local: Tensor, stage: int, rows: int) -> Tensor:
        if (peer := self._peer(stage)) is None:
            return local
        length, _, width = self._hidden.shape
        hidden = torch.empty(length, rows, width, dtype=self._hidden.dtype, device=self._device)
        dist.recv(hidden, src=peer, group=self._mesh.get_group())
        return hidden

    def _send(self, hidden: Tensor, stage: int) -> None:
        if (peer := self._peer(stage)) is not None:
            dist.send(hidden.contiguous(), dst=peer, group=self._mesh.get_group())
