"""Measure training and generation on one NVIDIA GPU, with no network, no torchvision and no diffusers.

    python3 -P e2e/bench/gpu.py [--only PART ...] [--out FOLDER] [--tiny --device cpu]

Parts: peak, diffusion, gpt, flow, resume, checkpoint. Each part is independent: one that cannot run here says why and
the next is taken. Writes gpu.json and gpu.md. `--tiny` runs every line on toy sizes, to check the program, not the GPU.
Needs torch 2.11 or newer; resume and checkpoint also need pydantic and safetensors.
"""

import argparse
import gc
import importlib.util
import json
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "trainers")]

from gentrainers.nets.latent import CONTEXT, TOKENS, LatentDecoder, LatentUnet  # noqa: E402
from gentrainers.nets.transformer import Transformer  # noqa: E402
from gentrainers.nets.unet import Unet  # noqa: E402

Row = dict[str, Any]
GUIDANCE = 7.5
DENSE_BF16 = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12}  # FLOP/s, without sparsity
REFERENCE = {"it/s": 62.8, "seconds": 0.8}  # an A100 with TensorRT, batch 1


@dataclass
class Setting:
    """Where and how large."""

    device: torch.device
    tiny: bool
    rows: list[Row] = field(default_factory=list)

    @property
    def cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def half(self) -> torch.dtype:
        return torch.float16 if self.cuda else torch.float32

    def add(self, part: str, name: str, **numbers: Any) -> Row:
        row = {"part": part, "name": name, **numbers}
        self.rows.append(row)
        print(_line(row), flush=True)
        return row

    def sync(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()

    def seconds(self, work: Callable[[], Any], repeats: int = 5, warm: int = 2) -> list[float]:
        """Time some work after a warm-up."""
        for _ in range(warm):
            work()
        times = []
        for _ in range(1 if self.tiny else repeats):
            self.sync()
            began = time.perf_counter()
            work()
            self.sync()
            times.append(time.perf_counter() - began)
        return times


def _line(row: Row) -> str:
    numbers = (
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items() if k not in ("part", "name")
    )
    return f"{row['part']:11} {row['name']:34} {'  '.join(numbers)}"


@contextmanager
def reported(setting: Setting, part: str, name: str) -> Iterator[None]:
    """Turn what goes wrong into a row that says so."""
    try:
        yield
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0][:200]
        setting.add(part, name, skipped=f"{type(error).__name__}: {first}")
        traceback.print_exc(file=sys.stderr)
    finally:
        gc.collect()
        if setting.cuda:
            torch._dynamo.reset()
            torch.cuda.empty_cache()


# --- the card's own limit


def peak(setting: Setting) -> None:
    """The best bf16 matrix product, and what a copy moves."""
    n = 256 if setting.tiny else 8192
    a, b = (torch.randn(n, n, device=setting.device, dtype=torch.bfloat16) for _ in range(2))
    best = min(setting.seconds(lambda: a @ b, repeats=20, warm=5))
    setting.add("peak", f"bf16 matrix product {n}", tflops=2 * n**3 / best / 1e12)
    x = torch.empty((1 << 20) if setting.tiny else (1 << 32), dtype=torch.uint8, device=setting.device)
    y = torch.empty_like(x)
    copied = min(setting.seconds(lambda: y.copy_(x), repeats=10))
    setting.add("peak", "copy on the device", terabytes_per_second=2 * len(x) / copied / 1e12)


# --- text to image


@dataclass
class Pictures:
    """A latent diffusion net with random weights, the inputs of one generation, and how to run it."""

    unet: nn.Module
    decoder: nn.Module
    steps: int
    side: int
    device: torch.device
    dtype: torch.dtype

    def inputs(self, batch: int) -> tuple[Tensor, Tensor]:
        source = torch.Generator().manual_seed(batch)
        x = torch.randn(batch, 4, self.side, self.side, generator=source)
        width = CONTEXT if self.steps == 50 else 16
        text = torch.randn(2 * batch, TOKENS, width, generator=source)
        return x.to(self.device, self.dtype), text.to(self.device, self.dtype)

    def steps_of(self, call: Callable[..., Tensor], x: Tensor, text: Tensor) -> Tensor:
        """DDIM with guidance: one call of the net at twice the batch per step."""
        alphas = torch.linspace(0.9991, 0.0047, 1000).tolist()
        times = [int(i * 1000 / self.steps) for i in reversed(range(self.steps))]
        for now, then in zip(times, [*times[1:], -1], strict=True):
            t = torch.full((2 * len(x),), now, device=self.device)
            without, with_it = call(torch.cat([x, x]), t, text).chunk(2)
            noise = without + GUIDANCE * (with_it - without)
            a, b = alphas[now], alphas[then] if then >= 0 else 1.0
            clean = (x - (1 - a) ** 0.5 * noise) / a**0.5
            x = b**0.5 * clean.clamp(-4, 4) + (1 - b) ** 0.5 * noise
        return x

    @torch.inference_mode()
    def generate(self, call: Callable[..., Tensor], decode: Callable[..., Tensor], batch: int) -> Tensor:
        x, text = self.inputs(batch)
        return decode(self.steps_of(call, x, text))


def diffusion(setting: Setting) -> None:
    """512 x 512 pixels, 50 steps, batch 1 and 4: every way to run the net, against eager."""
    torch.manual_seed(0)
    small = ((32, 64, 64, 64), 16, 4) if setting.tiny else ()
    with torch.device(setting.device):
        unet = LatentUnet(*small).to(setting.half).eval()
        decoder = (LatentDecoder((16, 32, 32, 32)) if setting.tiny else LatentDecoder()).to(setting.half).eval()
    if setting.cuda:
        unet, decoder = (net.to(memory_format=torch.channels_last) for net in (unet, decoder))  # type: ignore[call-overload]
    pictures = Pictures(
        unet, decoder, 2 if setting.tiny else 50, 8 if setting.tiny else 64, setting.device, setting.half
    )
    for batch in (1, 4):
        truth: list[Any] = []
        for name, make in WAYS.items():
            if setting.tiny and make not in (eager, graphed, tensorrt):
                continue  # compilers take as long for a toy
            with reported(setting, "diffusion", f"{name}, batch {batch}"):
                began = time.perf_counter()
                call, decode = make(pictures, batch)
                _measure(setting, pictures, f"{name}, batch {batch}", batch, call, decode, truth, began)


def _measure(
    setting: Setting,
    pictures: Pictures,
    name: str,
    batch: int,
    call: Callable[..., Tensor],
    decode: Callable[..., Tensor],
    truth: list[Any],
    began: float,
) -> None:
    """Time the whole generation and the net alone; `truth` is eager's answer and seconds, filled by the first."""
    x, text = pictures.inputs(batch)
    t = torch.full((2 * batch,), 500, device=pictures.device)
    with torch.inference_mode():
        both = torch.cat([x, x])
        answer = call(both, t, text).float().clone()
        built = time.perf_counter() - began
        whole = statistics.median(setting.seconds(lambda: pictures.generate(call, decode, batch), repeats=3, warm=1))
        alone = statistics.median(setting.seconds(lambda: pictures.steps_of(call, x, text), repeats=3, warm=0))
    if not truth:
        truth.extend([answer, whole])
    error = float((answer - truth[0]).norm() / truth[0].norm())
    setting.add(
        "diffusion",
        name,
        **{
            "it/s": pictures.steps / alone,
            "seconds": whole,
            "times_eager": truth[1] / whole,
            "error": error,
            "build_seconds": built,
            "gib": torch.cuda.max_memory_allocated() / 2**30 if setting.cuda else 0.0,
        },
    )


Way = Callable[[Pictures, int], tuple[Callable[..., Tensor], Callable[..., Tensor]]]


def eager(p: Pictures, batch: int) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    return p.unet, p.decoder


def compiled(mode: str) -> Way:
    def make(p: Pictures, batch: int) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
        unet, decoder = (torch.compile(net, mode=mode, dynamic=False) for net in (p.unet, p.decoder))

        def call(*inputs: Tensor) -> Tensor:
            torch.compiler.cudagraph_mark_step_begin()
            return unet(*inputs).clone()  # type: ignore[no-any-return]

        return call, decoder

    return make


def graphed(p: Pictures, batch: int) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Eager kernels, replayed as one CUDA graph: what is left when launching costs nothing."""
    x, text = p.inputs(batch)
    fixed = [torch.cat([x, x]), torch.full((2 * batch,), 500, device=p.device), text.clone()]
    with torch.inference_mode():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                p.unet(*fixed)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = p.unet(*fixed)

    def call(*inputs: Tensor) -> Tensor:
        for place, value in zip(fixed, inputs, strict=True):
            place.copy_(value)
        graph.replay()
        return out  # type: ignore[no-any-return]

    return call, p.decoder


def aot(p: Pictures, batch: int) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """AOTInductor: one compiled library, no Python inside."""
    x, text = p.inputs(batch)
    inputs = (torch.cat([x, x]), torch.full((2 * batch,), 500, device=p.device), text)
    with torch.no_grad():
        exported = torch.export.export(p.unet, inputs)
    folder = tempfile.mkdtemp()
    package = torch._inductor.aoti_compile_and_package(exported, package_path=f"{folder}/unet.pt2")
    return torch._inductor.aoti_load_package(package), p.decoder


def tensorrt(p: Pictures, batch: int) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """TensorRT, where its libraries are: ONNX, one engine for these shapes, torch's memory."""
    import tensorrt as trt

    x, text = p.inputs(batch)
    example = (torch.cat([x, x]), torch.full((2 * batch,), 500, device=p.device), text)
    path = f"{tempfile.mkdtemp()}/unet.onnx"
    names = ["x", "t", "text"]
    program = torch.onnx.export(p.unet, example, dynamo=True, input_names=names, output_names=["noise"])
    assert program is not None
    program.save(path, external_data=True)
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(path):
        raise RuntimeError(f"TensorRT cannot read the net: {parser.get_error(0)}")
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    context, out = engine.create_execution_context(), torch.empty_like(example[0])

    def call(*inputs: Tensor) -> Tensor:
        kept = [t.contiguous() for t in inputs]
        for name, t in zip([*names, "noise"], [*kept, out], strict=True):
            context.set_tensor_address(name, t.data_ptr())
        context.execute_async_v3(torch.cuda.current_stream().cuda_stream)
        return out

    return call, p.decoder


WAYS: dict[str, Way] = {
    "eager": eager,
    "CUDA graph": graphed,
    "torch.compile reduce-overhead": compiled("reduce-overhead"),
    "torch.compile max-autotune": compiled("max-autotune"),
    "AOTInductor": aot,
    "TensorRT": tensorrt,
}


# --- language model


def gpt(setting: Setting) -> None:
    """A training step of 350M parameters at a context of 2,048: utilisation of the dense bf16 peak."""
    width, depth, heads, vocab, block = (64, 2, 2, 128, 64) if setting.tiny else (1024, 24, 16, 50304, 2048)
    cases = ((False, 8), (True, 8), (True, 16), (True, 24))
    for compile_, batch in cases[: 1 if setting.tiny else None]:
        name = f"{'torch.compile' if compile_ else 'eager'}, {batch} x {block} tokens"
        with reported(setting, "gpt", name):
            torch.manual_seed(0)
            with torch.device(setting.device):
                net = Transformer(vocab, width, depth, heads)
            tokens = torch.randint(vocab, (batch, block + 1), device=setting.device)
            step = _step(net, lambda n, t=tokens: _surprise(n, t), setting, compile_)
            times = setting.seconds(step, repeats=20, warm=5)
            _utilisation(setting, name, net, width, depth, batch * block, block, times)


def _surprise(net: nn.Module, tokens: Tensor) -> Tensor:
    places = torch.arange(tokens.shape[1] - 1, device=tokens.device).expand(len(tokens), -1)
    logits = net(tokens[:, :-1], places)
    return nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())


def _step(
    net: nn.Module, loss: Callable[[nn.Module], Tensor], setting: Setting, compile_: bool, bf16: bool = True
) -> Callable[[], None]:
    """One step: bf16 computation, fp32 masters, clipping, fused AdamW."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    run = torch.compile(net, dynamic=False) if compile_ else net

    def step() -> None:
        with torch.autocast(setting.device.type, torch.bfloat16, enabled=bf16):
            value = loss(run)  # type: ignore[arg-type]
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _utilisation(
    setting: Setting, name: str, net: nn.Module, width: int, depth: int, tokens: int, block: int, times: list[float]
) -> None:
    """FLOPs per token: 6 per weight that multiplies, 12 x depth x width x block for attention (PaLM, appendix B)."""
    embedding = net.get_parameter("embed.weight").numel()
    weights = sum(p.numel() for p in net.parameters()) - embedding
    flops = (6 * weights + 12 * depth * width * block) * tokens
    seconds = statistics.median(times)
    card = torch.cuda.get_device_name() if setting.cuda else "cpu"
    limit = next((v for k, v in DENSE_BF16.items() if k in card), None)
    setting.add(
        "gpt",
        name,
        million_weights=(weights + embedding) / 1e6,
        tokens_per_second=tokens / seconds,
        mfu=flops / seconds / limit if limit else None,
        step_ms=seconds * 1e3,
        p99_over_p50=sorted(times)[int(0.99 * (len(times) - 1))] / seconds,
        gib=torch.cuda.max_memory_allocated() / 2**30 if setting.cuda else 0.0,
    )


# --- flow matching on images


def flow(setting: Setting) -> None:
    """Training images per second of a U-Net on 32 x 32 colour pictures: bf16 and compiled, against fp32 with TF32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    batch, channels, depth = (4, 16, 1) if setting.tiny else (512, 128, 2)
    base = None
    cases = (("eager, fp32 with TF32", False, False), ("bf16, torch.compile", True, True))
    for name, compile_, bf16 in cases[: 1 if setting.tiny else None]:
        with reported(setting, "flow", name):
            torch.manual_seed(0)
            with torch.device(setting.device):
                net = Unet((3, 32, 32), 512, channels, depth, 16)
            if bf16 and setting.cuda:
                net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            x, noise = (torch.randn(batch, 3, 32, 32, device=setting.device) for _ in range(2))
            step = _step(net, lambda n, a=x, b=noise: _velocity(n, a, b), setting, compile_, bf16)
            times = setting.seconds(step, repeats=30, warm=5)
            rate = batch / statistics.median(times)
            base = base or rate
            spread = sorted(times)[int(0.99 * (len(times) - 1))] / statistics.median(times)
            setting.add("flow", name, images_per_second=rate, times_eager=rate / base, p99_over_p50=spread)


def _velocity(net: nn.Module, x: Tensor, noise: Tensor) -> Tensor:
    t = torch.rand(len(x), device=x.device)
    emb = torch.randn(len(x), 512, device=x.device)
    answer = net(noise.lerp(x, t.view(-1, 1, 1, 1)), emb)
    return (answer.float() - (x - noise)).square().mean()


# --- the trainer itself: needs pydantic and safetensors


def resume(setting: Setting) -> None:
    """Train 30 steps, and 13 + 17 with a stop between: the same bits, with deterministic kernels."""
    from gencontract.task import Checkpointing, Input, TrainTask
    from gentrainers.artifact import sha256_file
    from gentrainers.jobs import train

    torch.use_deterministic_algorithms(True)
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from trainer_worlds import IMAGES, StopsAt, a_pod, write_dataset

    try:
        with tempfile.TemporaryDirectory() as folder:
            write_dataset(Path(folder) / "data", IMAGES, n=512)
            hashes = []
            for name, stop in (("whole", None), ("parts", 13)):
                task = TrainTask(
                    dataset=Input(uri=f"{folder}/data"),
                    family="flow",
                    hyperparameters={
                        "steps": 30,
                        "net": "unet",
                        "width": 64,
                        "depth": 1,
                        "batch": 64,
                        "precision": "bf16",
                    },
                    device=setting.device.type,  # type: ignore[arg-type]
                    checkpoint=Checkpointing(uri=f"{folder}/{name}-checkpoints"),
                    output=f"{folder}/{name}",
                )
                if stop:
                    train.run(task, StopsAt(stop))
                train.run(task, a_pod())
                hashes.append(sha256_file(Path(folder) / name / "weights.safetensors"))
        setting.add("resume", "30 steps, and 13 + 17", bitwise=hashes[0] == hashes[1])
    finally:
        torch.use_deterministic_algorithms(False)


def checkpoint(setting: Setting) -> None:
    """Seconds that training waits for a checkpoint of 16 GB, first and later, and seconds until it is on disk."""
    from gentrainers.checkpoint import Checkpoints

    count, size = (4, 1 << 16) if setting.tiny else (64, 1 << 26)  # fp32 numbers: 64 x 256 MiB
    tensors = {f"t{i:02d}": torch.randn(size, device=setting.device) for i in range(count)}
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(folder, 2, "bench")
        checkpoints.open()
        for number in range(3):
            began = time.perf_counter()
            checkpoints.save(number, tensors, {})
            blocked = time.perf_counter() - began
            checkpoints.wait()
            gigabytes = count * size * 4 / 1e9
            whole = time.perf_counter() - began
            setting.add("checkpoint", f"save {number + 1}", gigabytes=gigabytes, blocked_seconds=blocked, seconds=whole)
        checkpoints.close()


PARTS: dict[str, Callable[[Setting], None]] = {
    "peak": peak,
    "diffusion": diffusion,
    "gpt": gpt,
    "flow": flow,
    "resume": resume,
    "checkpoint": checkpoint,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--out", type=Path, default=ROOT / ".genops" / "bench")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="toy sizes: checks the program, measures nothing")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("bench-gpu: no NVIDIA GPU is visible to torch here; nothing was measured")
        return 68
    setting = Setting(torch.device(given.device), given.tiny)
    torch.set_float32_matmul_precision("high")
    for part in given.only:
        with reported(setting, part, "all"):
            PARTS[part](setting)
    _write(setting, given.out)
    return 0


def _write(setting: Setting, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    card = torch.cuda.get_device_name() if setting.cuda else "cpu"
    libraries = {n: importlib.util.find_spec(n) is not None for n in ("triton", "tensorrt", "pydantic", "safetensors")}
    head = {
        "card": card,
        "torch": torch.__version__,
        "tiny": setting.tiny,
        "libraries": libraries,
        "reference": REFERENCE,
    }
    (out / "gpu.json").write_text(json.dumps({**head, "rows": setting.rows}, indent=2) + "\n")
    lines = [f"Measured on {card}, torch {torch.__version__}.", "", "| part | what | numbers |", "|---|---|---|"]
    for row in setting.rows:
        part, _, rest = _line(row).partition(" ")
        lines.append(f"| {part} | {row['name']} | {rest.strip().removeprefix(row['name']).strip()} |")
    (out / "gpu.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
