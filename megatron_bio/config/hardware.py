"""What GPUs can do: dense peak speeds, memory and memory bandwidth of the vendor's data sheets.

Peaks are for dense matrices: where a data sheet gives the number with 2:4 sparsity only, half of it stands here. fp32 is without
TensorFloat-32, as torch computes by default. `None` means that the tensor cores do not know the format.
Sources: NVIDIA's data sheets of V100, A100, A10, A30, A40, RTX A6000, L4, L40S, H100, H200, HGX B200 and the Ada architecture
white paper (RTX 4090, products accumulated in fp32).
"""

from dataclasses import dataclass

PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One type of GPU."""

    name: str
    """How `megatron-bio plan` calls it."""
    device_names: tuple[str, ...]
    """What `torch.cuda.get_device_name` says, without a leading "NVIDIA ", "Tesla " or "GeForce "."""
    bf16: float | None
    """Dense peak in TFLOP/s."""
    fp16: float | None
    """Dense peak in TFLOP/s."""
    fp32: float
    """Peak in TFLOP/s."""
    memory: float
    """GiB that the driver reports."""
    bandwidth: float
    """GB/s of the GPU's own memory."""
    link: float
    """GB/s to the other GPUs of a node, one direction: NVLink where the type has it between all of them, else PCIe."""

    def peak(self, precision: str) -> float | None:
        """Return the dense peak in TFLOP/s of fp32, bf16 or fp16; None where the hardware lacks it."""
        assert precision in PRECISIONS, f"{precision} is none of {PRECISIONS}"
        return {"fp32": self.fp32, "bf16": self.bf16, "fp16": self.fp16}[precision]


def _gpu(
    name: str,
    tensor: float,
    fp32: float,
    memory: float,
    bandwidth: float,
    link: float,
    *device_names: str,
    bf16: bool = True,
) -> Gpu:
    return Gpu(
        name=name,
        device_names=device_names,
        bf16=tensor if bf16 else None,
        fp16=tensor,
        fp32=fp32,
        memory=memory,
        bandwidth=bandwidth,
        link=link,
    )


GPUS = (
    _gpu("A100-40GB", 312.0, 19.5, 39.6, 1555.0, 300.0, "A100-SXM4-40GB", "A100-PCIE-40GB"),
    _gpu("A100-80GB", 312.0, 19.5, 79.4, 2039.0, 300.0, "A100-SXM4-80GB", "A100-SXM-80GB"),
    _gpu("A100-80GB-PCIe", 312.0, 19.5, 79.4, 1935.0, 25.0, "A100 80GB PCIe", "A100-PCIE-80GB"),
    _gpu("H100-SXM", 989.4, 66.9, 79.2, 3350.0, 450.0, "H100 80GB HBM3", "H100 SXM5 80GB"),
    _gpu("H100-PCIe", 756.0, 51.0, 79.2, 2000.0, 50.0, "H100 PCIe"),
    _gpu("H100-NVL", 835.5, 60.0, 93.1, 3900.0, 50.0, "H100 NVL"),
    _gpu("GH200", 989.4, 66.9, 94.5, 4000.0, 450.0, "GH200 480GB"),
    _gpu("H200", 989.4, 66.9, 139.8, 4800.0, 450.0, "H200"),
    _gpu("H200-NVL", 835.5, 60.0, 139.8, 4800.0, 450.0, "H200 NVL"),
    _gpu("B200", 2250.0, 75.0, 178.4, 7700.0, 900.0, "B200"),
    _gpu("V100-16GB", 125.0, 15.7, 15.8, 900.0, 150.0, "V100-SXM2-16GB", bf16=False),
    _gpu("V100-32GB", 125.0, 15.7, 31.7, 900.0, 150.0, "V100-SXM2-32GB", bf16=False),
    _gpu("V100-32GB-PCIe", 112.0, 14.0, 31.7, 900.0, 12.0, "V100-PCIE-32GB", bf16=False),
    _gpu("A10", 125.0, 31.2, 22.1, 600.0, 25.0, "A10"),
    _gpu("A30", 165.0, 10.3, 23.6, 933.0, 25.0, "A30"),
    _gpu("A40", 149.7, 37.4, 44.5, 696.0, 25.0, "A40"),
    _gpu("RTX-A6000", 154.8, 38.7, 47.5, 768.0, 25.0, "RTX A6000"),
    _gpu("RTX-4090", 165.2, 82.6, 23.6, 1008.0, 25.0, "RTX 4090"),
    _gpu("L4", 121.0, 30.3, 22.0, 300.0, 25.0, "L4"),
    _gpu("L40S", 362.0, 91.6, 44.5, 864.0, 25.0, "L40S"),
)
"""All known types. Memory is what is left of the data sheet's number after ECC and the driver's own, about 1 %."""


def find_gpu(name: str) -> Gpu | None:
    """Return the type that the planner calls `name`, in any case and with spaces, underscores or dashes."""
    wanted = _plain(name)
    return next((gpu for gpu in GPUS if _plain(gpu.name) == wanted), None)


def peak_tflops(device_name: str, precision: str) -> float | None:
    """Return the dense peak in TFLOP/s of what `torch.cuda.get_device_name` calls `device_name`.

    `precision` is fp32, bf16 or fp16. None for a device that is not in the table (laptop versions and slices of a GPU among
    them) and for a format that its tensor cores lack.
    """
    name = device_name.strip()
    for vendor in ("NVIDIA ", "Tesla ", "GeForce "):
        name = name.removeprefix(vendor)
    gpu = next((gpu for gpu in GPUS if name in gpu.device_names), None)
    return gpu.peak(precision) if gpu else None


def _plain(name: str) -> str:
    return name.lower().replace(" ", "-").replace("_", "-")
