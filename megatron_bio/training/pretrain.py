"""A pretraining run, from its configuration to its last checkpoint."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from megatron_bio.config.costs import parameter_shapes
from megatron_bio.config.pretrain import PretrainConfig
from megatron_bio.data.blend import BlendedDataset
from megatron_bio.data.build import open_training_data
from megatron_bio.parallel.implementations.registry import foreign_lines
from megatron_bio.parallel.layers import COMPUTE_DTYPES
from megatron_bio.parallel.parameters import initialize
from megatron_bio.parallel.world import World, collective_timeout, open_world
from megatron_bio.training.announcement import (
    attention_line,
    data_lines,
    kernel_lines,
    layout_lines,
    write_config,
)
from megatron_bio.training.assembly import build_model_parts, distribute
from megatron_bio.training.batches import RankRows, StepBatch, evaluation_microbatches, training_batches
from megatron_bio.training.boards import Board, TensorBoard, WeightsAndBiases, require_wandb
from megatron_bio.training.checkpoints import Checkpoints, newest_checkpoint
from megatron_bio.training.compilation import compile_blocks
from megatron_bio.training.computation import (
    check_implementations,
    chosen_attention,
    chosen_computation,
    chosen_implementations,
    chosen_kernels,
)
from megatron_bio.training.determinism import deterministic_operations
from megatron_bio.training.initial_weights import load_initial_weights
from megatron_bio.training.interruption import Interruption
from megatron_bio.training.lock import locked_output
from megatron_bio.training.loss_scale import build_loss_scale
from megatron_bio.training.metrics import Window, averages
from megatron_bio.training.nonfinite import bad_parameters, bad_rows, diagnosis
from megatron_bio.training.optimizer import build_optimizer
from megatron_bio.training.profiling import StepProfiler
from megatron_bio.training.run_log import RunLog
from megatron_bio.training.schedule import learning_rate
from megatron_bio.training.state import (
    Progress,
    fill_second_copy,
    model_tensors,
    restore,
    run_info,
    run_tensors,
)
from megatron_bio.training.step import StepResult, evaluate, sum_over_data_parallel, train_step
from megatron_bio.training.utilisation import build_utilisation
from megatron_bio.training.watchdog import Watchdog

"""What layers compute in."""


def pretrain(config: PretrainConfig) -> None:
    """Start a run, or continue it from the newest checkpoint in its output folder."""
    with (
        open_world(config.parallel, config.training.device) as world,
        locked_output(Path(config.training.output)),
        deterministic_operations(config.training.deterministic),
    ):
        Run(config, world).train()


class Run:
    """One process's part of a run."""

    def __init__(self, config: PretrainConfig, world: World) -> None:
        require_wandb(config.training.wandb_project)
        check_implementations(config, world.device)
        self.rows = RankRows(
            config.training.global_batch_size,
            config.training.micro_batch_size,
            world.shape.data_parallel_size,
            world.shape.data_parallel_rank(world.rank),
        )
        config.parallel.check_microbatches(len(self.rows.of_step(0)))
        self.data = open_training_data(config.data, config.model.architecture)
        self.config = config = config.with_vocab_size(self.data.vocab_size)
        self.world = world
        self.output = Path(config.training.output)
        layout = config.parallel
        dtype = COMPUTE_DTYPES[config.training.precision]
        self.kernels = chosen_kernels(config.training.kernels, world.device, layout, config.training.norm)
        self.attention = chosen_attention(config, world.device)
        self.model = build_model_parts(
            config.model,
            layout,
            world.mesh,
            world.device,
            dtype,
            chosen_computation(config, world.device, self.kernels, self.attention),
        )
        initialize(self.model, config.training.seed)
        if config.training.compile:
            compile_blocks(self.model.blocks, split_backward=layout.splits_backward)
        self.passes = distribute(
            self.model,
            layout,
            world.mesh,
            compute_dtype=dtype,
            sequence_length=config.data.sequence_length,
        )
        self.optimizer = build_optimizer(self.model, config.optimizer)
        self.loss_scale = build_loss_scale(config.training.precision, config.optimizer)
        self.utilisation = build_utilisation(
            config,
            world.device,
            world.shape.ranks,
            variable_length=self.attention.sequences_per_row > 0,
        )
        self.start: Path | None = None  # the checkpoint of another run whose weights were taken
        self.progress = self._restore()
        self.watchdog = Watchdog(
            config.parallel.timeout_minutes,
            world.rank,
            world.shape.ranks,
            active=config.training.watchdog,
        )
        self.checkpoints = Checkpoints(
            self.output / "checkpoints",
            config.training,
            self.progress.step,
            self.watchdog,
            collective_timeout(config.parallel.timeout_minutes),
        )

    def _restore(self) -> Progress:
        newest = newest_checkpoint(self.output / "checkpoints")
        if newest is None:
            if self.config.training.initial_checkpoint is not None:
                weights = model_tensors(self.model)
                self.start = load_initial_weights(self.config, weights, self.data.fingerprints)
                fill_second_copy(self.model, self.optimizer)
            return Progress()
        return restore(
            newest, self.config, self.model, self.optimizer, self.loss_scale, self.data.fingerprints
        )

    def train(self) -> None:
        """Train to `training.train_steps`, `training.stop_at_step` or a signal; save at the end in each case."""
        training = self.config.training
        start, end = (
            self.progress.step,
            min(training.train_steps, training.stop_at_step or training.train_steps),
        )
        first = self.world.rank == 0
        log = RunLog(self.output, first, training.train_steps, start, self._boards(start) if first else ())
        if first:
            write_config(self.config, self.output)
        for line in self._facts(end):
            log.note(line)
        window = Window()
        profiler = StepProfiler(
            training.profile_steps, self.output, self.world.rank, training.profile_all_ranks
        )
        batches = training_batches(
            self.data.train,
            self.rows,
            range(start, end),
            training.seed,
            self.world.device,
            self.attention.sequences_per_row,
        )
        with self.watchdog, self.checkpoints, Interruption(self.world.device) as interruption:
            for batch in window.waiting_for(batches):
                profiler.before(self.progress.step + 1)
                result = self._step(batch.microbatches)
                window.add(result, self._advance(result.made, batch.real_tokens))
                self.watchdog.beat(f"step {self.progress.step}")
                with window.paused():
                    profiler.after(self.progress.step)
                log.advance(self.progress.step)
                self._check_skipped(result, batch)
                self._report(log, window, end)
                if interruption.requested():
                    log.note(f"Interrupted at step {self.progress.step}; the same command continues.")
                    break
            profiler.close()
            self._save()
            self.checkpoints.finish()
        if start < end:
            log.note(f"Checkpoint of step {self.progress.step} in {self.output / 'checkpoints'}.")
        log.close()

    def _step(self, microbatches: list[dict[str, torch.Tensor]]) -> StepResult:
        optimizer, steps = self.config.optimizer, self.config.training.train_steps
        return train_step(
            self.passes,
            self.optimizer,
            microbatches,
            self.world.mesh,
            lr=learning_rate(self.progress.step + 1, steps, optimizer),
            clip_grad=optimizer.clip_grad,
            loss_scale=self.loss_scale.value,
        )

    def _advance(self, made: bool, own_tokens: int) -> int:
        """Count the step; return the real tokens of its global batch."""
        count = torch.tensor([own_tokens], device=self.world.device)
        tokens = int(sum_over_data_parallel(count, self.world.mesh).item())
        explained = self.loss_scale.update(made)
        self.progress.count(made, explained, self.config.training.global_batch_size, tokens)
        return tokens

    def _check_skipped(self, result: StepResult, batch: StepBatch) -> None:
        """End the run when too many steps in a row could not be made."""
        training, step = self.config.training, self.progress.step
        if self.progress.skipped_in_a_row < training.max_skipped_steps:
            return
        parameters = bad_parameters(self.model)
        rows = None
        if self.config.parallel.pipeline_parallel == 1:
            (whole,) = self.model.parts
            own = self.rows.of_step(step - 1)
            rows = bad_rows(batch.microbatches, own, lambda fields: whole(**fields))
        means = averages(self.model.metric_names, self.model.num_losses, result)
        size = training.global_batch_size
        raise diagnosis(
            step=step,
            skipped=self.progress.skipped_in_a_row,
            losses={name: value for name, value in means.items() if name.endswith("_loss")},
            parameters=parameters,
            num_parameters=len(parameter_shapes(self.config.model)),
            samples=range((step - 1) * size, step * size),
            rows=rows,
            precision=training.precision,
        )

    def _report(self, log: RunLog, window: Window, end: int) -> None:
        """Log, evaluate and save where the intervals say so."""
        training, step = self.config.training, self.progress.step
        last = step == end
        if step % training.log_interval == 0 or last:
            lr = learning_rate(step, training.train_steps, self.config.optimizer)
            model = self.model
            values = window.values(model.metric_names, model.num_losses, lr, self.world.device)
            values |= self.utilisation.of(values["tokens_per_second"])
            values["skipped_steps"] = self.progress.skipped_steps
            if self.loss_scale.dynamic:
                values["loss_scale"] = self.loss_scale.value
            log.write("train", step, values)
        if last or (training.evaluation_interval and step % training.evaluation_interval == 0):
            with window.paused():
                self._evaluate(log)
        # While steps are skipped the newest checkpoint stays the one from before them.
        if step % training.checkpoint_interval == 0 and not self.progress.skipped_in_a_row:
            with window.paused():
                self._save()

    def _evaluate(self, log: RunLog) -> None:
        if self.data.validation is None:
            return
        training = self.config.training
        microbatches = evaluation_microbatches(
            self.data.validation,
            self.rows,
            training.evaluation_rows,
            training.seed,
            self.world.device,
            self.attention.sequences_per_row,
        )
        microbatches = self.watchdog.beats(microbatches, f"step {self.progress.step}: evaluation")
        result = evaluate(self.passes, microbatches, self.world.mesh)
        means = averages(self.model.metric_names, self.model.num_losses, result)
        log.write("validation", self.progress.step, means)

    def _save(self) -> None:
        info = run_info(self.config, self.progress, self.loss_scale, self.data.fingerprints)
        self.checkpoints.save(self.progress.step, run_tensors(self.model, self.optimizer), info)

    def _boards(self, step: int) -> list[Board]:
        project = self.config.training.wandb_project
        boards: list[Board] = [TensorBoard(self.output, step)]
        if project is not None:
            boards.append(WeightsAndBiases(project, self.output, asdict(self.config)))
        return boards

    def _facts(self, end: int) -> Iterator[str]:
        """Give what a run says before its first step."""
        yield from layout_lines(self.config, self.world.shape, self.world.device)
        training = self.config.training
        yield from kernel_lines(
            training.kernels, self.kernels, self.world.device, self.world.shape.tp, training.norm
        )
        yield from foreign_lines(chosen_implementations(self.config))
        yield attention_line(self.config, self.attention)
        yield self.utilisation.explanation
        yield from data_lines(self.data.report)
        if isinstance(self.data.train, BlendedDataset):
            yield self.data.train.describe(
                self.config.training.train_steps * self.config.training.global_batch_size
            )
        if self.start:
            yield f"Starting with the weights of {self.start}; optimizer and schedule start afresh."
        if self.progress.step:
            yield f"Continuing after step {self.progress.step} of {self.config.training.train_steps}."
        if self.progress.step >= end:
            yield "Nothing to do: the run has reached that step already."
